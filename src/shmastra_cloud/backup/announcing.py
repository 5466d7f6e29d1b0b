"""The one place that tells of a backup that was made, or restored: a line in the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from shmastra_cloud.audit import AuditLog, record_in, this_user

if TYPE_CHECKING:
    from shmastra_cloud.database import Pool

Deed: TypeAlias = Literal["backup.make", "backup.restore"]


async def announce(pool: Pool, deed: Deed, target: str, **detail: Any) -> None:
    """Write down what was done, of which file, by the user of this machine who did it."""
    await AuditLog(pool).record(this_user(), deed, target, **detail)


async def announce_in(dsn: str, deed: Deed, target: str, **detail: Any) -> None:
    """Do so in a database whose log may be missing, or away: what was done stays done."""
    await record_in(dsn, deed, target, **detail)
