"""A new embedded database with a backup's rows: its schema, its rows, what is newer, and what is true now."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import asyncpg

from shmastra_cloud.backup import tables
from shmastra_cloud.backup.announcing import announce
from shmastra_cloud.backup.errors import BadBackup
from shmastra_cloud.database import bind_master_key, migrate, open_pool
from shmastra_cloud.identity import renew_keys
from shmastra_cloud.supervisor import serving
from shmastra_cloud.workspaces import renew_tokens, settle_restored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator
    from pathlib import Path

    from shmastra_cloud.backup.manifest import Manifest
    from shmastra_cloud.backup.tables import Connection, Shape
    from shmastra_cloud.database import Pool
    from shmastra_cloud.secrets_at_rest import Vault
    from shmastra_cloud.supervisor import Account

CONNECT_SECONDS = 10
QUERY_SECONDS = 600


@dataclass
class Refill:
    """Takes a backup's tables; ``made_anew`` is how many sandboxes have to be, known at the end."""

    connection: Connection
    manifest: Manifest
    there: list[Shape]
    made_anew: int = 0

    async def take(self, name: str, body: Iterator[bytes]) -> None:
        """Put a table's rows in, unless it is one that is never restored.

        Raises:
            BadBackup: they do not fit.
        """
        if name in tables.LEFT_OUT:
            return  # an earlier version saved it
        table = next(one for one in self.manifest.tables if one.name == name)
        await tables.copy_in(self.connection, table, self.there, body)


@asynccontextmanager
async def refilled(
    folder: Path, who: Account | None, manifest: Manifest, new: Vault | None, present: Collection[str] | None
) -> AsyncIterator[Refill]:
    """Make a database under a folder, and give what takes the rows; at the end all of it is on the disk.

    With ``new``, every secret in it is made anew and sealed under that key; ``present`` are the sandboxes
    whose files are restored too (None: they are elsewhere).

    Raises:
        BadBackup: the backup's tables are not those of the schema that it names.
        SupervisorError: Postgres does not start.
    """
    async with serving(folder, who) as dsn:
        await _migrate(dsn, manifest.migrations)
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, command_timeout=QUERY_SECONDS)
        try:
            refill = Refill(connection, manifest, await tables.shapes(connection))
            told = {table.name for table in manifest.tables} - tables.LEFT_OUT
            if told != {shape.name for shape in refill.there}:
                raise BadBackup("The backup's tables are not those of the schema that it names.")
            async with connection.transaction():
                await tables.empty(connection, refill.there)
                await tables.set_triggers(connection, refill.there, fire=False)
                yield refill
                await tables.set_triggers(connection, refill.there, fire=True)
                await tables.count_on(connection)
            await _migrate(dsn, None)
            async with connection.transaction():
                refill.made_anew = await settle_restored(connection, present)
                if new is not None:
                    await _seal_anew(connection, new)
                target = f"the backup of {manifest.created_at.isoformat()}"
                await announce(cast("Pool", connection), "backup.restore", target, new_key=new is not None)
        finally:
            await connection.close(timeout=CONNECT_SECONDS)


async def _migrate(dsn: str, only: list[str] | None) -> None:
    pool = await open_pool(dsn, size=1)
    try:
        await migrate(pool, only=only)
    finally:
        await pool.close()


async def _seal_anew(connection: Connection, vault: Vault) -> None:
    await bind_master_key(connection, vault)
    await renew_keys(connection, vault)
    await renew_tokens(connection, vault)
