"""Forward-only migrations: numbered SQL files, each applied once under an advisory lock."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

from shmastra_cloud.database.errors import MigrationFailed, UnsuitableDatabase

if TYPE_CHECKING:
    from collections.abc import Collection

    from shmastra_cloud.database.pool import Pool

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).resolve().parents[3] / "supabase" / "migrations"
LOCK = 0x5348_4D41  # any constant of ours, the same in every process
MIGRATION_SECONDS = 600
SHOWN = 3
OLDEST = 15  # the first with `security_invoker`
Session: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True)
class Migration:
    """One file: its name without the ending, and what it does."""

    name: str
    sql: str

    @property
    def sha256(self) -> bytes:
        """What tells a file from one that was changed, whatever its line ends."""
        return hashlib.sha256(self.sql.encode()).digest()


@dataclass(frozen=True)
class Schema:
    """How a database's schema stands to this source: names of migrations, in order."""

    pending: list[str]  # not applied yet
    changed: list[str]  # applied, and the file is another one by now
    unknown: list[str]  # applied by another version: there is no such file here

    def refusal(self) -> str | None:
        """Return why nothing may be applied to it, with what to do, or None."""
        if self.unknown:
            return (
                "The database was migrated by another version of Shmastra Cloud, which has "
                f"{_files(self.unknown)}. Update this installation to that version, or restore the backup "
                "that was made before it."
            )
        if self.changed:
            return (
                f"The database was migrated with another text of {_files(self.changed)}. Put back what it "
                "was (git checkout supabase/migrations); a change of the schema is a migration of its own."
            )
        return None


async def migrate(pool: Pool, folder: Path = MIGRATIONS, *, only: Collection[str] | None = None) -> list[str]:
    """Apply what is missing (of those named in ``only``) and return the names applied, in order.

    Any number of processes may call this at once; the others wait and then find nothing to do.

    Raises:
        MigrationFailed: the database refused a file; its transaction was rolled back.
        UnsuitableDatabase: it is too old, or was migrated by other files than these; nothing was done.
    """
    files = _read(folder)
    applied: list[str] = []
    async with pool.acquire() as connection:
        _check_version(connection)
        await _check_role(connection)
        await _lock(connection)
        try:
            stands = await _compare(connection, files)
            if refusal := stands.refusal():
                raise UnsuitableDatabase(refusal)
            for file in files:
                if file.name in stands.pending and (only is None or file.name in only):
                    await _apply(connection, file)
                    applied.append(file.name)
            await _remember(connection, files)
        finally:
            if not connection.is_closed():
                await connection.execute("select pg_advisory_unlock($1)", LOCK)
    return applied


async def schema(pool: Pool, folder: Path = MIGRATIONS) -> Schema:
    """Return how the database's schema stands to the files."""
    async with pool.acquire() as connection:
        return await _compare(connection, _read(folder))


async def pending(pool: Pool, folder: Path = MIGRATIONS) -> list[str]:
    """Return the names of the migrations that the database lacks, in order."""
    return (await schema(pool, folder)).pending


def known_migrations(folder: Path = MIGRATIONS) -> list[str]:
    """Return the names of all migrations of this program, in order."""
    return [file.name for file in _read(folder)]


async def check_schema(pool: Pool, folder: Path = MIGRATIONS) -> None:
    """Make sure that a process can serve with this schema; a newer one is told, but may be, during an update.

    Raises:
        UnsuitableDatabase: something is not applied yet, or this role is shown no rows.
    """
    async with pool.acquire() as connection:
        await _check_role(connection)
        stands = await _compare(connection, _read(folder))
    if stands.pending:
        raise UnsuitableDatabase(
            f"The database lacks {_files(stands.pending)}. `shmastra migrate` applies it, as `shmastra up` "
            "does."
        )
    if refusal := stands.refusal():
        log.warning("%s", refusal)


def _files(names: list[str]) -> str:
    return ", ".join(f"{name}.sql" for name in names[:SHOWN]) + (" and more" if len(names) > SHOWN else "")


def _read(folder: Path) -> list[Migration]:
    files = sorted(folder.glob("[0-9]*.sql"), key=lambda file: int(file.name.split("_")[0]))
    return [Migration(file.stem, file.read_text(encoding="utf-8")) for file in files]


def _check_version(connection: Session) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST:
        raise UnsuitableDatabase(
            f"This is Postgres {version.major}; Shmastra Cloud needs {OLDEST} or newer. Upgrade it (with "
            "Supabase: Project Settings, Infrastructure), or leave DATABASE_URL out to use the embedded one."
        )


async def _check_role(connection: Session) -> None:
    """Refuse a role from which the rows would be hidden, as if the database were empty."""
    if await connection.fetchval("select row_security_active(to_regclass('public.schema_migrations'))"):
        raise UnsuitableDatabase(
            "Row level security hides every row from this role, since it does not own the tables. Put the "
            "role that migrated the database into DATABASE_URL, or give this one BYPASSRLS."
        )


async def _lock(connection: Session) -> None:
    try:
        await connection.execute("select pg_advisory_lock($1)", LOCK, timeout=MIGRATION_SECONDS)
    except TimeoutError as error:
        raise MigrationFailed(
            f"Another process has been migrating this database for {MIGRATION_SECONDS} s. Look at its log; "
            "when it has ended, run this again."
        ) from error


async def _compare(connection: Session, files: list[Migration]) -> Schema:
    known = await _known(connection)
    names = {file.name for file in files}
    return Schema(
        pending=[file.name for file in files if file.name not in known],
        changed=[file.name for file in files if known.get(file.name) not in (None, file.sha256)],
        unknown=sorted(set(known) - names),
    )


async def _known(connection: Session) -> dict[str, bytes | None]:
    """Return what was applied, and the SHA-256 of it where that was kept."""
    if await connection.fetchval("select to_regclass('public.schema_migrations')") is None:
        return {}
    rows = await connection.fetch(
        "select name, to_jsonb(m) ->> 'sha256' as sha256 from public.schema_migrations m"
    )
    return {
        row["name"]: None if row["sha256"] is None else bytes.fromhex(row["sha256"].removeprefix("\\x"))
        for row in rows
    }


async def _apply(connection: Session, file: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(file.sql, timeout=MIGRATION_SECONDS)
            await connection.execute("insert into public.schema_migrations (name) values ($1)", file.name)
    except asyncpg.PostgresError as error:
        raise MigrationFailed(f"Migration {file.name}.sql failed: {error}") from error


async def _remember(connection: Session, files: list[Migration]) -> None:
    """Keep what each file was, where that is not known yet."""
    there = await connection.fetchval(
        "select exists (select from pg_attribute where attrelid = to_regclass('public.schema_migrations')"
        " and attname = 'sha256' and not attisdropped)"
    )
    if there:
        await connection.executemany(
            "update public.schema_migrations set sha256 = $2 where name = $1 and sha256 is null",
            [(file.name, file.sha256) for file in files],
        )
