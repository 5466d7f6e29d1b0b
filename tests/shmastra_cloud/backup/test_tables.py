from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import asyncpg
import pytest
from tests.shmastra_cloud.backup.installations import ODD

from shmastra_cloud.backup import BadBackup, tables
from shmastra_cloud.backup.archive import Reader, Writer
from shmastra_cloud.backup.manifest import Table
from shmastra_cloud.database import Pool, check_master_key
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[Any]:
    made = await asyncpg.connect(dsn)
    yield made
    await made.close()


async def saved(connection: Any, name: str) -> tuple[Table, bytes]:
    """Return a table and its rows as they stand in a backup."""
    [shape] = [one for one in await tables.shapes(connection) if one.name == name]
    out = BytesIO()
    writer = Writer(out)
    with writer.member(name) as sink:
        rows = await tables.copy_out(connection, shape, sink)
    writer.finish()
    out.seek(0)
    [(_, body)] = [(found, b"".join(pieces)) for found, pieces in Reader(out).members()]
    return Table(name=name, columns=list(shape.columns), rows=rows), body


async def test_tables_come_after_those_that_they_refer_to(connection: Any) -> None:
    await connection.execute(
        "create table public.computed (id int, twice int generated always as (id * 2) stored)"
    )
    found = await tables.shapes(connection)
    names = [shape.name for shape in found]
    assert names.index("users") < names.index("sandboxes") < names.index("sandbox_events")
    assert not {
        "sessions",
        "login_links",
        "api_tokens",
        "device_logins",
        "sign_in_attempts",
        "schema_migrations",
        "stream_slots",
    } & set(names)
    assert next(shape.columns for shape in found if shape.name == "computed") == ("id",)


def test_a_circle_of_references_has_some_order() -> None:
    needs = {"a": {"b"}, "b": {"a"}, "c": {"a"}, "d": set()}
    assert list(tables._in_order(needs)) == ["d", "a", "b", "c"]


async def test_rows_are_the_same_after_a_way_through_text(connection: Any, pool: Pool, vault: Vault) -> None:
    await Users(pool, vault).invite("ann@example.com")
    await connection.execute(
        "insert into usage_events (user_id, provider, status, duration_ms, ended, cost_usd, model)"
        " select id, $1, 200, n, 'complete', n / 7.0, nullif(n, 3)::text from users, generate_series(1, 5) n",
        ODD,
    )
    before = await connection.fetch("select * from usage_events order by duration_ms")
    table, rows = await saved(connection, "usage_events")
    assert table.rows == 5
    there = await tables.shapes(connection)
    await connection.execute("truncate usage_events")
    await tables.copy_in(connection, table, there, iter([rows[:100], rows[100:]]))
    assert await connection.fetch("select * from usage_events order by duration_ms") == before


async def test_what_is_no_row_and_no_table_is_refused_and_never_run(connection: Any) -> None:
    there = await tables.shapes(connection)
    shape = next(one for one in there if one.name == "installation")

    def told(**change: Any) -> Table:
        return Table(**{"name": shape.name, "columns": list(shape.columns), "rows": 1, **change})

    for table, rows in (
        (told(name='installation"; drop table users; --'), b""),
        (told(name="pg_authid"), b""),
        (told(name="sessions", columns=["token_hash", "user_id", "expires_at"], rows=0), b""),
        (told(columns=["only_one"]), b""),
        (told(columns=[*shape.columns[1:], "created_at\") from program 'touch /tmp/owned'; --"]), b""),
        (told(), b"t\tnot bytes\tnever\n"),
        (told(), b"\\.\ndrop table users;\n"),
        (told(rows=2), b"t\t\\\\x00\t2026-01-01\n"),
        (told(), b"\0\xff"),
    ):
        with pytest.raises(BadBackup):
            async with connection.transaction():
                await tables.copy_in(connection, table, there, iter([rows]))
    assert await connection.fetchval("select count(*) from users") == 0


async def test_numbers_go_on_behind_the_highest_one(connection: Any, pool: Pool, vault: Vault) -> None:
    await Users(pool, vault).invite("ann@example.com")
    await connection.execute("insert into sandboxes (user_id, mastra_token) select id, 'x' from users")
    await connection.execute(
        "insert into sandbox_events (id, sandbox, actor, reason, to_status) overriding system value"
        " select 41, id, 'a', 'b', 'ready' from sandboxes"
    )
    await tables.count_on(connection)
    added = await connection.fetchval(
        "insert into sandbox_events (sandbox, actor, reason, to_status)"
        " select id, 'a', 'b', 'ready' from sandboxes returning id"
    )
    assert added == 42


async def test_what_a_migration_put_in_is_taken_out(connection: Any, pool: Pool, vault: Vault) -> None:
    await Users(pool, vault).invite("ann@example.com")
    await tables.empty(connection, await tables.shapes(connection))
    assert await connection.fetchval("select count(*) from users") == 0
    assert await connection.fetchval("select count(*) from schema_migrations") > 0


async def test_what_triggers_made_is_not_made_again_and_a_former_keys_secrets_come_back(
    connection: Any, pool: Pool, vault: Vault
) -> None:
    await check_master_key(pool, vault)
    await Users(pool, vault).invite("ann@example.com")
    await connection.execute(
        "insert into usage_events (user_id, provider, status, duration_ms, ended, cost_usd)"
        " select id, 'openai', 200, 1, 'complete', 1 from users"
    )
    await connection.execute(  # as while the master key is replaced
        "update installation set master_key_fingerprint = $1, retiring_key_fingerprint = $2",
        Vault(b"n" * 32).fingerprint,
        vault.fingerprint,
    )
    there = await tables.shapes(connection)
    kept = {shape.name: await saved(connection, shape.name) for shape in there}
    async with connection.transaction():
        await tables.empty(connection, there)
        await tables.set_triggers(connection, there, fire=False)
        for table, rows in kept.values():
            await tables.copy_in(connection, table, there, iter([rows]))
        await tables.set_triggers(connection, there, fire=True)
    assert await connection.fetchval("select requests from usage_days") == 1
    sealed = await connection.fetchval("select virtual_key from users")
    with pytest.raises(asyncpg.PostgresError, match="not sealed under the present master key"):
        await connection.execute("update users set virtual_key = $1", sealed + b"\0")
