"""The database's rows, copied out and in: data only, so that nothing in a backup is ever run as SQL.

The schema is not saved: the migrations make it, up to the one that the backup was made under.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from shmastra_cloud.backup.errors import BadBackup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from shmastra_cloud.backup.archive import Sink
    from shmastra_cloud.backup.manifest import Table

    Connection = asyncpg.Connection[asyncpg.Record]

COPY_SECONDS = 3600.0
# What ends with a session or a minute: whoever comes back signs in anew, and no ended session comes back.
LEFT_OUT = frozenset(
    {
        "schema_migrations",
        "sessions",
        "login_links",
        "workos_codes",
        "api_tokens",
        "device_logins",
        "sign_in_attempts",
        "rate_windows",
        "stream_slots",
    }
)

_COLUMNS = """
  select c.relname as "table", array_agg(a.attname::text order by a.attnum) as columns
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    and a.attgenerated = ''
  group by c.relname order by c.relname"""
_REFERENCES = """
  select f.relname as "from", t.relname as "to" from pg_constraint k
  join pg_class f on f.oid = k.conrelid join pg_class t on t.oid = k.confrelid
  where k.contype = 'f' and f.relnamespace = 'public'::regnamespace and f.oid <> t.oid"""
_NUMBERED = """
  select c.relname as "table", a.attname as "column",
    pg_get_serial_sequence(format('public.%I', c.relname), a.attname) as sequence
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    and pg_get_serial_sequence(format('public.%I', c.relname), a.attname) is not null"""


@dataclass(frozen=True)
class Shape:
    """A table and the columns that are copied."""

    name: str
    columns: tuple[str, ...]


async def shapes(connection: Connection) -> list[Shape]:
    """Return the tables that are saved, each after those that its rows refer to."""
    found = {
        row["table"]: Shape(row["table"], tuple(row["columns"])) for row in await connection.fetch(_COLUMNS)
    }
    kept = {name: shape for name, shape in found.items() if name not in LEFT_OUT}
    needs: dict[str, set[str]] = {name: set() for name in kept}
    for row in await connection.fetch(_REFERENCES):
        if row["from"] in kept and row["to"] in kept:
            needs[row["from"]].add(row["to"])
    return [kept[name] for name in _in_order(needs)]


def _in_order(needs: dict[str, set[str]]) -> Iterator[str]:
    """Give each name after all that it needs; of a circle, in the order of the alphabet."""
    done: set[str] = set()
    while left := [name for name in sorted(needs) if name not in done]:
        free = [name for name in left if needs[name] <= done] or left[:1]
        done.update(free)
        yield from free


async def copy_out(connection: Connection, shape: Shape, sink: Sink) -> int:
    """Write a table's rows in Postgres's own text form, and return how many there are."""

    async def take(data: bytes) -> None:
        sink.write(data)

    columns = ", ".join(map(_quoted, shape.columns))
    query = f"select {columns} from public.{_quoted(shape.name)}"  # noqa: S608 -- names of the catalog
    done = await connection.copy_from_query(query, output=take, timeout=COPY_SECONDS)
    return int(done.split()[-1])


async def empty(connection: Connection, tables: list[Shape]) -> None:
    """Delete what the migrations themselves put into new tables."""
    names = ", ".join(f"public.{_quoted(shape.name)}" for shape in tables)
    await connection.execute(f"truncate {names} cascade")


async def set_triggers(connection: Connection, tables: list[Shape], *, fire: bool) -> None:
    """Have our own triggers not fire while rows come back, or fire again; those of references always do.

    What a trigger made of a row is in the backup too: usage by day would be counted twice. And a backup that
    was made while the master key was replaced holds secrets under both keys, which the triggers refuse.
    """
    for shape in tables:
        name, how = _quoted(shape.name), "enable" if fire else "disable"
        await connection.execute(f"alter table public.{name} {how} trigger user")


async def copy_in(connection: Connection, table: Table, there: list[Shape], data: Iterator[bytes]) -> None:
    """Put rows into an empty table of the same shape.

    Raises:
        BadBackup: there is no such table, or the rows do not fit.
    """
    if Shape(table.name, tuple(table.columns)) not in there:
        raise BadBackup(f"The backup's table {table.name[:60]!r} is not one of the schema that it names.")

    async def given() -> AsyncIterator[bytes]:
        for piece in data:
            yield piece

    try:
        done = await connection.copy_to_table(
            table.name, schema_name="public", columns=table.columns, source=given(), timeout=COPY_SECONDS
        )
    except asyncpg.PostgresError as error:
        raise BadBackup(
            f"The backup's table {table.name} does not fit its schema ({type(error).__name__})."
        ) from error
    if int(done.split()[-1]) != table.rows:
        raise BadBackup(f"The backup's table {table.name} has not as many rows as its manifest says.")


async def count_on(connection: Connection) -> None:
    """Have numbers that the database gives out go on behind the highest one that was restored."""
    for row in await connection.fetch(_NUMBERED):
        table, column = _quoted(row["table"]), _quoted(row["column"])
        await connection.execute(
            f"select setval($1::regclass, coalesce(max({column}), 1), max({column}) is not null)"  # noqa: S608
            f" from public.{table}",
            row["sequence"],
        )


def _quoted(name: Any) -> str:
    return '"' + str(name).replace('"', '""') + '"'
