import logging
from pathlib import Path

import pytest
from tests.shmastra_cloud.database.bouncers import bouncer

from shmastra_cloud.database import DatabaseAway, Pool, UnsuitableDatabase, open_pool
from shmastra_cloud.database.pool import session_name


async def test_a_database_that_is_not_there_is_named_without_its_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(DatabaseAway) as caught:
        await open_pool("postgresql://u:hunter2@127.0.0.1:1/postgres", patience=0.5)
    assert "DATABASE_URL" in str(caught.value)
    assert "hunter2" not in str(caught.value) + caplog.text
    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in told] == [
        "the database does not answer (ConnectionRefusedError), trying again for a while"
    ]


async def test_what_can_never_work_is_told_at_once(postgres: str) -> None:
    for wrong, told in (
        (postgres.replace("/postgres?", "/nowhere?"), "nowhere"),
        (f"{postgres}&pool=5", 'refuses: .*"pool"'),
        (postgres.replace("//postgres@", "//nobody_here@"), "nobody_here"),
    ):
        with pytest.raises(UnsuitableDatabase, match=told):
            await open_pool(wrong, patience=60)


async def test_sessions_say_which_process_they_are_of(pool: Pool) -> None:
    assert await pool.fetchval("show application_name") == session_name()
    assert len(session_name()) <= 63


async def test_a_database_without_a_place_is_told(empty_dsn: str) -> None:
    first = await open_pool(empty_dsn, size=1)
    role = "few"
    await first.execute(f"create role {role} login connection limit 1")
    dsn = empty_dsn.replace("//postgres@", f"//{role}@")
    try:
        one = await open_pool(dsn, size=1)
        with pytest.raises(DatabaseAway, match="no connection left"):
            await open_pool(dsn, size=1, patience=0.2)
        await one.close()
    finally:
        await first.execute(f"drop role {role}")
        await first.close()


async def test_the_tls_that_an_address_asks_for_is_spoken(dsn: str, tmp_path: Path) -> None:
    """As Supabase's strings have it; the pooler speaks TLS for a Postgres that does not."""
    with bouncer(dsn, "session", tls=tmp_path) as address:
        for wanted in ("require", f"verify-full&sslrootcert={tmp_path}/authority.pem"):
            pool = await open_pool(f"{address}?sslmode={wanted}", patience=5, size=1)
            await pool.close()
        with pytest.raises(UnsuitableDatabase, match="certificate of localhost does not hold.*sslrootcert"):
            await open_pool(f"{address}?sslmode=verify-full&sslrootcert=system", patience=60)
    with bouncer(dsn, "session") as address, pytest.raises(UnsuitableDatabase, match="speaks no TLS"):
        await open_pool(f"{address}?sslmode=require", patience=60)


@pytest.mark.parametrize("host", ["nowhere.invalid"])
async def test_a_host_that_is_not_known_is_told(host: str) -> None:
    with pytest.raises(DatabaseAway, match=f"{host} of DATABASE_URL is not known"):
        await open_pool(f"postgresql://u:hunter2@{host}/x", patience=0.1)


async def test_a_password_with_every_kind_of_character_is_taken(empty_dsn: str) -> None:
    """The tests' Postgres trusts whoever connects, so what matters is that the address is read."""
    odd = "%3A%2F%3F%23%5B%5D%40%25%21%26%3D%20%C3%A9"
    pool = await open_pool(empty_dsn.replace("//postgres@", f"//postgres:{odd}@"), size=1)
    await pool.close()
