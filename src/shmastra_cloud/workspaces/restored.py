"""Workspaces after a restore: nothing runs, nobody holds a lease, each sandbox is as its backup left it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from shmastra_cloud.workspaces.store import PURPOSE_MASTRA

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    import asyncpg

    from shmastra_cloud.secrets_at_rest import Vault

    Connection = asyncpg.Connection[asyncpg.Record]

ACTOR = "restore"
_EVENTS = (
    "insert into sandbox_events (sandbox, actor, reason, from_status, to_status)"
    " select id, $2, $3, status, $4 from sandboxes where id = any($1)"
)


async def settle_restored(connection: Connection, present: Collection[str] | None) -> int:
    """Make every row true again, and return how many sandboxes have to be made anew.

    ``present`` are the sandboxes whose files were restored; None where they run elsewhere and were not
    touched. Those that ran are paused, and start on their files when they are asked for, with a new ``.env``.
    """
    await connection.execute(
        "update sandboxes set lease_owner = null, lease_until = null, engine_until = null,"
        " wanted_env_version = wanted_env_version + 1"
    )
    if present is None:
        return 0
    gone = await connection.fetch(
        "select id from sandboxes where sandbox_id is not null and not sandbox_id = any($1)"
        " or sandbox_id is null and status in ('ready', 'healing', 'paused')",
        list(present),
    )
    lost: list[UUID] = [row["id"] for row in gone]
    await connection.execute(_EVENTS, lost, ACTOR, "its files were not in the backup", "provisioning")
    await connection.execute(
        "update sandboxes set status = 'provisioning', stage = 'queued', attempt = 1, error_message = null,"
        " sandbox_id = null, sandbox_host = null, traffic_token = null, env_version = 0, status_since = now()"
        " where id = any($1)",
        lost,
    )
    ran = await connection.fetch("select id from sandboxes where status in ('ready', 'healing')")
    awake: list[UUID] = [row["id"] for row in ran]
    await connection.execute(_EVENTS, awake, ACTOR, "restored from a backup", "paused")
    await connection.execute(
        "update sandboxes set status = 'paused', stage = 'paused', status_since = now() where id = any($1)",
        awake,
    )
    return len(lost)


async def renew_tokens(connection: Connection, vault: Vault) -> None:
    """Give every workspace a new token of its dev server, sealed under another master key than the old one.

    The service's own token comes with the sandbox, and is sealed again when that is resumed.
    """
    for row in await connection.fetch("select id from sandboxes"):
        await connection.execute(
            "update sandboxes set mastra_token = $2, traffic_token = null,"
            " wanted_env_version = wanted_env_version + 1 where id = $1",
            row["id"],
            vault.seal(secrets.token_urlsafe(32), PURPOSE_MASTRA),
        )
