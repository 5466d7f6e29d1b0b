"""The one place that tells of a backup that was made, or restored: a line in the audit log."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from shmastra_cloud.audit import Actor, AuditLog
from shmastra_cloud.database import TROUBLE, DatabaseError, open_pool

if TYPE_CHECKING:
    from shmastra_cloud.database import Pool

log = logging.getLogger(__name__)

ORIGIN = "command line"
Deed: TypeAlias = Literal["backup.make", "backup.restore"]


async def announce(pool: Pool, deed: Deed, target: str, **detail: Any) -> None:
    """Write down what was done, of which file, by the user of this machine who did it."""
    await AuditLog(pool).record(Actor.of_uid(os.getuid(), ORIGIN), deed, target, **detail)


async def announce_in(dsn: str, deed: Deed, target: str, **detail: Any) -> None:
    """Do so in a database whose log may be missing, or away: what was done stays done."""
    try:
        pool = await open_pool(dsn, patience=1, size=1)
        try:
            await announce(pool, deed, target, **detail)
        finally:
            await pool.close()
    except (*TROUBLE, DatabaseError) as error:
        log.warning("that %s was done could not be written to the audit log (%s)", deed, type(error).__name__)
