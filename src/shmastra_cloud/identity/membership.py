"""What an identity provider tells of who is a member, as the audit log has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmastra_cloud.audit import Actor, AuditLog

if TYPE_CHECKING:
    from uuid import UUID

    from shmastra_cloud.database import Pool, Row

MEMBERSHIP = "membership"  # why somebody is shut out whose membership has ended


async def write_ended(pool: Pool, user_id: UUID) -> None:
    """Write down that a membership has ended, unless whose it was is shut out already."""
    row = await pool.fetchrow("select * from users where id = $1 for no key update", user_id)
    if row is not None and row["disabled_at"] is None:
        source = "workos" if row["workos_id"] else "oidc" if row["oidc_id"] else None
        await _write(pool, row, source, "membership.ended")


async def write_arrival(pool: Pool, before: Row, source: str, role: str, *, new: bool) -> None:
    """Write down what changes for somebody who arrives: ``before`` is his row, ``role`` what he is now."""
    if new:
        await _write(pool, before, source, "membership.began", role=role)
    elif before["disabled_at"] is not None:
        await _write(pool, before, source, "membership.back", role=role)
    elif before["role"] != role:
        await _write(pool, before, source, "membership.role", role=role, before=before["role"])


async def _write(pool: Pool, row: Row, source: str | None, action: str, **detail: str) -> None:
    async with AuditLog(pool).within(Actor.of_provider(source), action, row["email"], **detail) as act:
        act.target_id = row["id"]
