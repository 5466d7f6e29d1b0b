import datetime as dt
from typing import Any

import pytest
from tests.shmastra_cloud.webs import MASTER_KEY
from tests.support.supabase import drop, make

from shmastra_cloud.database import Pool, check_master_key, migrate, open_pool
from shmastra_cloud.doctor import database
from shmastra_cloud.doctor.check import Check
from shmastra_cloud.doctor.database import check_database, check_stopped_database
from shmastra_cloud.secrets_at_rest import Vault, key_name
from shmastra_cloud.settings import load_settings


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_MASTER_KEY", MASTER_KEY)


async def told(pool: Pool) -> dict[str, Check]:
    checks = await check_database(load_settings(), pool)
    assert all(bool(check.fix) == (check.status != "ok") for check in checks)
    return {check.name.removeprefix("database_"): check for check in checks}


async def test_a_database_as_it_should_be_is_ok_in_every_way(pool: Pool, vault: Vault) -> None:
    await check_master_key(pool, vault)
    found = await told(pool)
    assert {check.status for check in found.values()} == {"ok"}, found
    assert found["database"].detail == "the embedded one"
    assert found["version"].detail.startswith("Postgres 18.")
    assert key_name(vault.fingerprint) in found["secrets"].detail


async def test_a_schema_that_is_not_this_versions_is_told(empty_dsn: str) -> None:
    pool = await open_pool(empty_dsn, size=2)
    found = await told(pool)
    assert found["schema"].fix == found["secrets"].fix == "shmastra migrate"
    await migrate(pool)
    assert (await told(pool))["schema"].status == "ok"
    await pool.execute("update schema_migrations set sha256 = '' where name = '001_init'")
    assert "the text of 001_init was changed" in (await told(pool))["schema"].detail
    await pool.execute("insert into schema_migrations (name) values ('999_future')")
    assert "999_future" in (await told(pool))["schema"].detail
    await pool.close()
    assert [check.status for check in await check_database(load_settings(), pool)] == ["failed"]


async def test_what_is_open_is_named_with_the_statement_that_closes_it(pool: Pool, postgres: str) -> None:
    await make(postgres, "doctors")
    await pool.execute("create table left_open (x int); grant select (email) on users to anon")
    check = (await told(pool))["privacy"]
    assert check.status == "warning"
    assert check.fix == "select public.close_to_api_roles('left_open', 'users');"
    await pool.execute(check.fix)
    assert (await told(pool))["privacy"].status == "ok"
    await drop(postgres, "doctors")


async def test_the_master_keys_are_compared_with_the_databases(
    pool: Pool, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def secrets() -> Check:
        return (await told(pool))["secrets"]

    assert (await secrets()).detail == "none yet"
    other = Vault(b"o" * 32)
    await check_master_key(pool, other)
    assert "another master key" in (await secrets()).detail
    await pool.execute("insert into retired_master_keys values ($1)", vault.fingerprint)
    assert "a key that was replaced" in (await secrets()).detail
    monkeypatch.setenv("SHMASTRA_MASTER_KEY", MASTER_KEY + ",b29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb28=")
    assert "is retired and still at hand" in (await secrets()).detail
    await pool.execute("update installation set retiring_key_fingerprint = $1", vault.fingerprint)
    assert (await secrets()).fix == "shmastra key rotate-master"
    monkeypatch.setenv("SHMASTRA_MASTER_KEY", "s3cret")
    assert (await secrets()).status == "failed"
    assert "s3cret" not in str(await secrets())


async def test_no_key_is_made_by_looking(pool: Pool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await check_master_key(pool, Vault(b"o" * 32))
    monkeypatch.delenv("SHMASTRA_MASTER_KEY")
    monkeypatch.setenv("SHMASTRA_DATA", str(tmp_path))
    assert (await told(pool))["secrets"].status == "failed"
    assert list(tmp_path.iterdir()) == []


async def test_rights_that_are_missing_are_told_with_the_statement_that_gives_them(
    dsn: str, pool: Pool
) -> None:
    await pool.execute("drop role if exists limited; create role limited login")
    limited = await open_pool(dsn.replace("//postgres@", "//limited@"), size=2)
    try:
        rights = database._rights
        assert "row level security hides" in (await rights(limited)).detail
        await pool.execute("alter role limited bypassrls")
        assert "may not read and write" in (await rights(limited)).detail
        await pool.execute("grant all on all tables in schema public to limited")
        check = await rights(limited)
        assert (check.status, check.fix) == ("warning", 'grant usage, create on schema public to "limited"')
        await pool.execute(check.fix)
        assert (await rights(limited)).status == "ok"
    finally:
        await limited.close()
        await pool.execute("drop owned by limited; drop role limited")


@pytest.mark.parametrize(("seconds", "way"), [(60, "ahead of"), (-60, "behind")])
async def test_another_clock_is_told(seconds: int, way: str) -> None:
    class Elsewhere:
        async def fetchval(self, *_query: object, **_options: object) -> dt.datetime:
            return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)

    check = await database._clock(Elsewhere())  # type: ignore[arg-type]
    assert check.status == "warning"
    assert f"60.0 s {way}" in check.detail


async def test_a_far_database_and_one_that_does_not_notify_are_told(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LATENCY_SECONDS", 0.0)
    monkeypatch.setattr(database, "NOTIFY", "select 1")  # as through a pooler that loses it
    monkeypatch.setattr(database, "HEARD_SECONDS", 0.01)
    found = await told(pool)
    assert found["latency"].status == "warning"
    assert (found["notifications"].status, found["notifications"].detail) == (
        "failed",
        "LISTEN hears nothing",
    )


async def test_places_that_do_not_suffice_are_told(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_DATABASE_CONNECTIONS", "3")
    monkeypatch.setenv("SHMASTRA_WEB_WORKERS", "2")
    check = await database._connections(load_settings(), pool)
    assert check.detail.startswith("up to 12 for this machine's processes")
    monkeypatch.setenv("SHMASTRA_DATABASE_CONNECTIONS", "100")
    check = await database._connections(load_settings(), pool)
    assert (check.status, "SHMASTRA_DATABASE_CONNECTIONS (100)" in check.fix) == ("warning", True)


def test_an_old_version_is_told() -> None:
    assert (database._version(140012).status, database._version(140012).detail) == (
        "failed",
        "Postgres 14.12",
    )


async def test_an_address_that_cannot_be_used_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:s3#cret@h/x")
    (check,) = await check_stopped_database(load_settings())
    assert (check.status, check.fix) == ("failed", "Correct DATABASE_URL as it says.")
    assert "cret" not in check.detail
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:s3cret@127.0.0.1:1/x")
    monkeypatch.setattr(database, "SECONDS", 0.1)
    (check,) = await check_stopped_database(load_settings())
    assert check.detail.startswith("postgresql://u@127.0.0.1:1/x: The database does not answer")
