"""Writing down what a command did by itself, in whatever database there is."""

from __future__ import annotations

import logging
import os
from typing import Any

from shmastra_cloud.audit.actor import Actor
from shmastra_cloud.audit.log import AuditLog
from shmastra_cloud.database import TROUBLE, DatabaseError, open_pool

log = logging.getLogger(__name__)

COMMAND_LINE = "command line"


def this_user() -> Actor:
    """Return the user of this machine who runs this process."""
    return Actor.of_uid(os.getuid(), COMMAND_LINE)


async def record_in(
    dsn: str, action: str, target: str | None, *, failed: bool = False, **detail: Any
) -> None:
    """Write a line in a database whose log may be missing, or away: what was done stays done."""
    try:
        pool = await open_pool(dsn, patience=1, size=1)
        try:
            await AuditLog(pool).record(this_user(), action, target, failed=failed, **detail)
        finally:
            await pool.close()
    except (*TROUBLE, DatabaseError) as error:
        log.warning(
            "that %s was done could not be written to the audit log (%s)", action, type(error).__name__
        )
