import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from tests.conftest import POSTGRES
from tests.support.supabase import drop, make

from shmastra_cloud.database import (
    MigrationFailed,
    Pool,
    UnsuitableDatabase,
    check_schema,
    known_migrations,
    migrate,
    open_pool,
    schema,
)
from shmastra_cloud.database.migrate import LOCK, MIGRATIONS

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
PSQL, QUIET = POSTGRES / "pginstall18/bin/psql", ("-qXv", "ON_ERROR_STOP=1")
MODULE = sys.modules[migrate.__module__]  # the package has a function of that name


async def _paste(dsn: str, times: int = 1) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        for _ in range(times):
            for file in sorted(MIGRATIONS.glob("*.sql")):
                await connection.execute(file.read_text())
        return [row["line"] for row in await connection.fetch(SCHEMA)]
    finally:
        await connection.close()


async def _schema(dsn: str) -> list[str]:
    return await _paste(dsn, times=0)


async def test_pasted_by_hand_and_migrated_give_the_same_schema(postgres: str) -> None:
    """Once as a psql would send it, statement by statement, and once as one text."""
    by_hand, by_command = await make(postgres, "by_hand"), await make(postgres, "by_command")
    try:
        for _ in range(2):
            done = await asyncio.create_subprocess_exec(PSQL, *QUIET, *_files(), by_hand[0])
            assert await done.wait() == 0
        pasted = await _schema(by_hand[0])
        pool = await open_pool(by_command[0])
        assert await migrate(pool) == [file.stem for file in sorted(MIGRATIONS.glob("*.sql"))]
        await pool.close()
        assert await _schema(by_command[0]) == pasted
        assert len(pasted) > 50
    finally:
        await drop(postgres, "by_hand")
        await drop(postgres, "by_command")


def _files() -> list[str]:
    return [word for file in sorted(MIGRATIONS.glob("*.sql")) for word in ("-f", str(file))]


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
    folder = shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    (folder / "900_bad.sql").write_text("create table half_done (a int); select nonsense;")
    with pytest.raises(MigrationFailed, match=r"900_bad\.sql"):
        await migrate(pool, folder)
    assert await pool.fetchval("select to_regclass('public.half_done')") is None
    assert (await schema(pool, folder)).pending == ["900_bad"]


async def test_a_file_that_was_changed_since_is_noticed(
    pool: Pool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    first = folder / "002_prices.sql"
    first.write_bytes(first.read_bytes().replace(b"\n", b"\r\n"))
    assert await migrate(pool, folder) == []  # other line ends are no change
    first.write_text(first.read_text() + "alter table users add column more text;")
    with pytest.raises(UnsuitableDatabase, match=r"another text of 002_prices\.sql"):
        await migrate(pool, folder)
    await check_schema(pool, folder)
    assert "002_prices.sql" in caplog.text


async def test_what_a_newer_version_applied_is_noticed(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    await pool.execute("insert into schema_migrations (name) values ('999_future')")
    with pytest.raises(UnsuitableDatabase, match=r"another version .* 999_future\.sql"):
        await migrate(pool)
    await check_schema(pool)  # in the middle of an update, processes of both versions serve
    assert "999_future" in caplog.text


async def test_a_process_does_not_serve_with_a_schema_that_is_behind(pool: Pool) -> None:
    await pool.execute("delete from schema_migrations where name = '009_keys_and_rights'")
    with pytest.raises(UnsuitableDatabase, match=r"lacks 009_keys_and_rights\.sql.*shmastra migrate"):
        await check_schema(pool)


async def test_what_was_applied_before_texts_were_kept_is_taken_as_it_is(pool: Pool) -> None:
    await pool.execute("update schema_migrations set sha256 = null where name < '004'")
    assert await migrate(pool) == []
    assert not await pool.fetchval("select exists (select from schema_migrations where sha256 is null)")


def test_each_number_is_given_once() -> None:
    numbers = [file.name.split("_")[0] for file in MIGRATIONS.glob("*.sql")]
    assert len(numbers) == len(set(numbers))


async def test_an_old_postgres_is_refused(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "OLDEST", 99)
    with pytest.raises(UnsuitableDatabase, match="needs 99 or newer"):
        await migrate(pool)


async def test_who_waits_too_long_for_another_is_told(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "MIGRATION_SECONDS", 0.1)
    async with pool.acquire() as other:
        await other.execute("select pg_advisory_lock($1)", LOCK)
        with pytest.raises(MigrationFailed, match="Another process has been migrating"):
            await migrate(pool)


# Real processes.


def _start(dsn: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "shmastra_cloud", "migrate"],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": dsn},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
    )


def test_processes_that_start_at_once_apply_each_file_once(empty_dsn: str) -> None:
    processes = [_start(empty_dsn) for _ in range(3)]
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, said
    applied = [line for out, _ in said for line in out.splitlines() if line.startswith("applied")]
    assert sorted(applied) == [f"applied {file.stem}" for file in sorted(MIGRATIONS.glob("*.sql"))]


async def test_a_process_that_is_killed_in_the_middle_leaves_nothing_and_holds_up_nobody(
    empty_dsn: str,
) -> None:
    whole = await _paste(empty_dsn)
    control, held = await asyncpg.connect(empty_dsn), await asyncpg.connect(empty_dsn)
    await control.execute("drop table login_links")  # which 001 makes before it comes to usage_events
    async with held.transaction():
        await held.execute("lock table usage_events")
        process = _start(empty_dsn)
        async with asyncio.timeout(30):
            while not await control.fetchval("select exists (select from pg_locks where not granted)"):
                await asyncio.sleep(0.02)
        process.kill()
        process.communicate()
        assert await control.fetchval("select to_regclass('login_links')") is None
    after = _start(empty_dsn)
    assert after.communicate(timeout=60)[0].count("applied") == len(list(MIGRATIONS.glob("*.sql")))
    await control.close()
    await held.close()
    assert await _schema(empty_dsn) == whole
