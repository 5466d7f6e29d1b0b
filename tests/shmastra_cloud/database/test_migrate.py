import asyncio
from pathlib import Path

import asyncpg
import pytest

from shmastra_cloud.database import MigrationFailed, Pool, known_migrations, migrate, open_pool
from shmastra_cloud.database.migrate import MIGRATIONS

SCHEMA = """
  select table_name || '.' || column_name || ' ' || data_type || ' ' || coalesce(column_default, '') as line
  from information_schema.columns where table_schema = 'public'
  union all select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
  from pg_constraint where connamespace = 'public'::regnamespace
  union all select indexdef from pg_indexes where schemaname = 'public'
  union all select tgrelid::regclass || ' ' || pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
  union all select relname || ' ' || relrowsecurity || ' ' || coalesce(relacl::text, '')
  from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')
  order by 1"""
SUPABASE = """
  do $$ begin
    if not exists (select from pg_roles where rolname = 'anon') then
      create role anon nologin; create role authenticated nologin;
    end if;
  end $$;
  grant usage on schema public to anon, authenticated;
  alter default privileges in schema public grant all on tables to anon, authenticated;
  alter default privileges in schema public grant all on functions to anon, authenticated;
  alter default privileges in schema public grant all on sequences to anon, authenticated;"""


async def _paste(dsn: str, times: int = 1) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        for _ in range(times):
            for file in sorted(MIGRATIONS.glob("*.sql")):
                await connection.execute(file.read_text())
        return [row["line"] for row in await connection.fetch(SCHEMA)]
    finally:
        await connection.close()


async def _supabase(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(SUPABASE)
    await connection.close()


async def test_pasted_by_hand_and_migrated_give_the_same_schema(empty_dsn: str, postgres: str) -> None:
    await _supabase(empty_dsn)
    pasted = await _paste(empty_dsn)
    control = await asyncpg.connect(postgres)
    await control.execute("create database by_command")
    try:
        other = postgres.replace("/postgres?", "/by_command?")
        await _supabase(other)
        pool = await open_pool(other)
        assert await migrate(pool) == [file.stem for file in sorted(MIGRATIONS.glob("*.sql"))]
        migrated = [row["line"] for row in await pool.fetch(SCHEMA)]
        await pool.close()
    finally:
        await control.execute("drop database by_command with (force)")
        await control.close()
    assert pasted == migrated
    assert len(pasted) > 50


async def test_a_migration_may_be_pasted_first_and_twice(empty_dsn: str) -> None:
    before = await _paste(empty_dsn, times=2)
    pool = await open_pool(empty_dsn)
    await migrate(pool)
    assert [row["line"] for row in await pool.fetch(SCHEMA)] == before
    await pool.close()


async def test_many_processes_at_once_apply_each_file_once(empty_dsn: str) -> None:
    pools = [await open_pool(empty_dsn, size=1) for _ in range(4)]
    results = await asyncio.gather(*(migrate(pool) for pool in pools))
    assert sorted(len(applied) for applied in results) == [0, 0, 0, len(list(MIGRATIONS.glob("*.sql")))]
    for pool in pools:
        await pool.close()


async def test_only_what_is_named_is_applied_and_the_rest_later(empty_dsn: str) -> None:
    pool, [first, *rest] = await open_pool(empty_dsn), known_migrations()
    assert await migrate(pool, only=[first, "901_future"]) == [first]
    assert await migrate(pool) == rest
    await pool.close()


async def test_a_refused_file_leaves_nothing_behind(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "900_bad.sql").write_text("create table half_done (a int); select nonsense;")
    with pytest.raises(MigrationFailed, match=r"900_bad\.sql"):
        await migrate(pool, tmp_path)
    assert await pool.fetchval("select to_regclass('public.half_done')") is None


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_a_role_with_supabases_default_grants_reads_nothing(empty_dsn: str, role: str) -> None:
    await _supabase(empty_dsn)
    await _paste(empty_dsn)
    connection = await asyncpg.connect(empty_dsn)
    names = await connection.fetch(
        "select relname, relrowsecurity, relkind from pg_class"
        " where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')"
    )
    assert len(names) >= 6
    await connection.execute(f"set role {role}")
    for row in names:
        assert row["relrowsecurity"] or row["relkind"] == b"v", row["relname"]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(f"select * from public.{row['relname']}")
    await connection.close()
