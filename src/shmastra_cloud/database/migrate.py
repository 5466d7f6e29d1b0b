"""Forward-only migrations: numbered SQL files, each applied once under an advisory lock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from shmastra_cloud.database.errors import MigrationFailed, UnsuitableDatabase

if TYPE_CHECKING:
    from collections.abc import Collection

    from shmastra_cloud.database.pool import Pool

MIGRATIONS = Path(__file__).resolve().parents[3] / "supabase" / "migrations"
LOCK = 0x5348_4D41  # any constant of ours, the same in every process
MIGRATION_SECONDS = 600


async def migrate(pool: Pool, folder: Path = MIGRATIONS, *, only: Collection[str] | None = None) -> list[str]:
    """Apply what is missing (of those named in ``only``) and return the names applied, in order.

    Any number of processes may call this at once; the others wait and then find nothing to do.

    Raises:
        MigrationFailed: the database refused a file; its transaction was rolled back.
    """
    files = _read(folder)
    applied: list[str] = []
    async with pool.acquire() as connection:
        await connection.execute("select pg_advisory_lock($1)", LOCK, timeout=MIGRATION_SECONDS)
        try:
            known = await _known(connection)
            for name, sql in files:
                if name not in known and (only is None or name in only):
                    await _apply(connection, name, sql)
                    applied.append(name)
        finally:
            await connection.execute("select pg_advisory_unlock($1)", LOCK)
    return applied


async def pending(pool: Pool, folder: Path = MIGRATIONS) -> list[str]:
    """Return the names of the migrations that the database lacks, in order."""
    async with pool.acquire() as connection:
        known = await _known(connection)
    return [name for name, _ in _read(folder) if name not in known]


def known_migrations(folder: Path = MIGRATIONS) -> list[str]:
    """Return the names of all migrations of this program, in order."""
    return [name for name, _ in _read(folder)]


async def check_schema(pool: Pool, folder: Path = MIGRATIONS) -> None:
    """Make sure that the schema is the one that this program knows, or a later one.

    Raises:
        UnsuitableDatabase: migrations are missing; the message names the command.
    """
    missing = await pending(pool, folder)
    if missing:
        raise UnsuitableDatabase(f"The database lacks {', '.join(missing)}. Run `shmastra migrate` first.")


def _read(folder: Path) -> list[tuple[str, str]]:
    files = sorted(folder.glob("[0-9]*.sql"), key=lambda file: int(file.name.split("_")[0]))
    return [(file.stem, file.read_text()) for file in files]


async def _known(connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> set[str]:
    if await connection.fetchval("select to_regclass('public.schema_migrations')") is None:
        return set()
    return {row["name"] for row in await connection.fetch("select name from public.schema_migrations")}


async def _apply(connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record], name: str, sql: str) -> None:
    try:
        async with connection.transaction():
            await connection.execute(sql, timeout=MIGRATION_SECONDS)
            await connection.execute("insert into public.schema_migrations (name) values ($1)", name)
    except asyncpg.PostgresError as error:
        raise MigrationFailed(f"Migration {name}.sql failed: {error}") from error
