"""What Supabase's own roles may do with what the migrations make: nothing, now and later."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from tests.support.supabase import API_ROLES, OWNER, supabase

from shmastra_cloud.database import UnsuitableDatabase, check_schema, migrate, open_pool
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.workspaces import Workspaces

RELATIONS = """
  select c.oid::regclass::text as name, c.relkind, c.relrowsecurity, c.reloptions from pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')"""
MAY = """
  select c.oid::regclass::text as what from pg_class c
  where c.relnamespace = 'public'::regnamespace and case
    when c.relkind = 'S' then has_sequence_privilege($1, c.oid, 'usage, select, update')
    when c.relkind in ('r', 'p', 'v', 'm', 'f') then
      has_table_privilege($1, c.oid, 'select, insert, update, delete, truncate, references, trigger')
      or has_any_column_privilege($1, c.oid, 'select, insert, update, references')
    end
  union all select p.oid::regprocedure::text from pg_proc p
  where p.pronamespace = 'public'::regnamespace and has_function_privilege($1, p.oid, 'execute')"""


@pytest.fixture(scope="module")
def database(postgres: str) -> Iterator[tuple[str, str]]:
    with supabase(postgres) as addresses:
        yield addresses


@pytest.fixture
async def owner(database: tuple[str, str]) -> AsyncIterator[asyncpg.Connection]:
    """Give a connection as the role that migrated, which is no superuser."""
    pool = await open_pool(database[0])
    await migrate(pool)
    await pool.close()
    connection = await asyncpg.connect(database[0])
    yield connection
    await connection.close()


async def test_the_role_that_migrates_is_no_superuser_and_can_work(
    database: tuple[str, str], owner: asyncpg.Connection, vault: Vault
) -> None:
    assert await owner.fetchval("select current_user") == OWNER
    assert not await owner.fetchval("select rolsuper from pg_roles where rolname = current_user")
    pool = await open_pool(database[0], size=2)
    await check_schema(pool)
    user = await Users(pool, vault).invite("ann@example.com")
    assert (await Workspaces(pool, vault).ensure(user)).status == "provisioning"
    await pool.close()


async def test_everything_is_closed_by_row_level_security_too(owner: asyncpg.Connection) -> None:
    relations = await owner.fetch(RELATIONS)
    assert {row["relkind"] for row in relations} == {b"r", b"v", b"S"}
    for row in relations:
        if row["relkind"] == b"r":
            assert row["relrowsecurity"], row["name"]
        if row["relkind"] == b"v":
            assert "security_invoker=true" in (row["reloptions"] or []), row["name"]
    assert await owner.fetch("select * from pg_policies where schemaname = 'public'") == []


@pytest.mark.parametrize("role", API_ROLES)
async def test_a_role_of_supabases_api_has_no_right_at_all(owner: asyncpg.Connection, role: str) -> None:
    assert [row["what"] for row in await owner.fetch(MAY, role)] == []


@pytest.mark.parametrize("role", API_ROLES)
async def test_a_role_of_supabases_api_is_refused_whatever_it_asks(
    database: tuple[str, str], owner: asyncpg.Connection, role: str
) -> None:
    functions = await owner.fetch(
        "select proname, pronargs from pg_proc where pronamespace = 'public'::regnamespace"
        " and prorettype <> 'trigger'::regtype"
    )
    asked = [f"select * from {row['name']}" for row in await owner.fetch(RELATIONS)]
    asked += [
        f"select public.{row['proname']}({', '.join(['null'] * row['pronargs'])})"
        for row in functions
        if row["proname"] != "close_to_api_roles"
    ]
    asked += ["select public.close_to_api_roles('users')", "insert into public.users default values"]
    asked += ["select nextval('public.sandbox_events_id_seq')", "delete from public.sessions"]
    assert len(asked) > 25
    connection = await asyncpg.connect(database[1])
    await connection.execute(f"set role {role}")
    for query in asked:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(query)
    await connection.close()


@pytest.mark.parametrize("role", API_ROLES)
async def test_what_is_made_later_is_closed_from_the_start(owner: asyncpg.Connection, role: str) -> None:
    async with _undone(owner):
        await owner.execute(
            "create table later (id bigint generated always as identity, t text);"
            "create view later_view as select t from later; create sequence later_sequence;"
            "create function later_function() returns int language sql as 'select 1'"
        )
        assert [row["what"] for row in await owner.fetch(MAY, role)] == []


async def test_what_was_opened_is_closed_again_with_the_sequences_of_its_tables(
    owner: asyncpg.Connection,
) -> None:
    async with _undone(owner):
        await owner.execute(
            "grant all on all tables in schema public to anon;"
            "grant all on all sequences in schema public to anon;"
            "grant select (email) on users to authenticated; alter table users disable row level security;"
            "grant execute on function limits_of(uuid) to public;"
            "alter view user_sandboxes reset (security_invoker)"
        )
        assert len(await owner.fetch(MAY, "anon")) > 20
        await owner.execute(await _closing(owner))
        assert await owner.fetch(MAY, "anon") == []
        assert await owner.fetch(MAY, "authenticated") == []
        assert await owner.fetchval("select relrowsecurity from pg_class where oid = 'users'::regclass")


async def test_a_name_that_there_is_not_is_refused(owner: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.RaiseError, match=r"no public\.nonsense"):
        await owner.execute("select public.close_to_api_roles('users', 'nonsense')")


async def test_a_role_that_is_shown_no_rows_is_refused(
    database: tuple[str, str], owner: asyncpg.Connection
) -> None:
    above = await asyncpg.connect(database[1])
    await above.execute("drop role if exists stranger; create role stranger login")
    await above.execute("grant all on all tables in schema public to stranger")
    pool = await open_pool(database[0].replace(f"//{OWNER}@", "//stranger@"), size=1)
    with pytest.raises(UnsuitableDatabase, match="Row level security hides"):
        await check_schema(pool)
    await pool.close()
    await above.execute("drop owned by stranger; drop role stranger")
    await above.close()


async def _closing(owner: asyncpg.Connection) -> str:
    """Return the call that closes all there is, by the catalog."""
    names = await owner.fetch(
        "select relname as name from pg_class where relnamespace = 'public'::regnamespace"
        " and relkind in ('r', 'v')"
        " union select proname from pg_proc where pronamespace = 'public'::regnamespace"
    )
    return f"select public.close_to_api_roles({', '.join(repr(row['name']) for row in names)})"


class _undone:  # noqa: N801 -- reads as a word
    """A transaction that is rolled back."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._transaction = connection.transaction()

    async def __aenter__(self) -> None:
        await self._transaction.start()

    async def __aexit__(self, *_error: object) -> None:
        await self._transaction.rollback()
