import asyncio
import json
import logging

import asyncpg
import pytest

from shmastra_cloud.audit import Actor, AuditLog
from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault

ROOT = Actor.of_uid(0, "socket")


async def lines(pool: Pool) -> list[tuple[str, str, int | None]]:
    rows = await pool.fetch("select action, outcome, begun from audit_log order by id")
    return [(row["action"], row["outcome"], row["begun"]) for row in rows]


async def test_what_is_done_and_its_line_are_there_together_or_not_at_all(pool: Pool, vault: Vault) -> None:
    log, users = AuditLog(pool), Users(pool, vault)
    async with log.within(ROOT, "user.invite", "ann@example.com", admin=True) as act:
        act.target_id = await users.on(act.pool).invite("ann@example.com")
        assert await pool.fetchval("select count(*) from users") == 0  # nobody else sees either of them yet
        assert await lines(pool) == []
    row = await pool.fetchrow("select * from audit_log")
    assert row is not None
    assert (row["actor"], row["actor_id"], row["origin"]) == ("root", "0", "socket")
    assert (row["target"], row["target_id"]) == ("ann@example.com", str(act.target_id))
    assert json.loads(row["detail"]) == {"admin": True}

    async def failing() -> None:
        async with log.within(ROOT, "user.invite") as act:
            await users.on(act.pool).invite("bob@example.com")
            raise LookupError

    with pytest.raises(LookupError):
        await failing()
    assert await pool.fetchval("select count(*) from users") == 1
    assert len(await lines(pool)) == 1


async def test_what_takes_longer_has_a_line_before_and_one_after(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    log = AuditLog(pool)
    async with log.around(ROOT, "sandbox.reset", "ann@example.com", "i1") as act:
        assert await lines(pool) == [("sandbox.reset", "begun", None)]
        act.detail["status"] = 0

    async def failing() -> None:
        async with log.around(ROOT, "sandbox.pause"):
            raise LookupError("with a secret in it")

    with pytest.raises(LookupError):
        await failing()

    begun = asyncio.Event()

    async def cut() -> None:
        async with log.around(ROOT, "sandbox.exec"):
            begun.set()
            await asyncio.sleep(60)

    going = asyncio.create_task(cut())
    await begun.wait()
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    numbers = [row["id"] for row in await pool.fetch("select id from audit_log order by id")]
    assert await lines(pool) == [
        ("sandbox.reset", "begun", None),
        ("sandbox.reset", "done", numbers[0]),
        ("sandbox.pause", "begun", None),
        ("sandbox.pause", "failed", numbers[2]),
        ("sandbox.exec", "begun", None),
        ("sandbox.exec", "failed", numbers[4]),
    ]
    told = [row["detail"] for row in await pool.fetch("select detail from audit_log order by id")]
    assert [json.loads(text) for text in told[1::2]] == [
        {"status": 0},
        {"error": "LookupError"},
        {"error": "CancelledError"},
    ]
    assert "secret" not in "".join(told)
    await log.record(ROOT, "backup.made", "file", failed=True, size=1)
    assert (await lines(pool))[-1] == ("backup.made", "failed", None)
    with caplog.at_level(logging.WARNING):
        async with log.around(ROOT, "sandbox.pause"):
            await pool.execute("alter table audit_log rename to gone")
    assert "how sandbox.pause ended could not be written" in caplog.text  # and what was done stays done


async def test_what_is_written_stays(pool: Pool) -> None:
    await pool.execute("truncate audit_log")  # while it is empty, as in a database that is filled anew
    await AuditLog(pool).record(ROOT, "user.invite")
    for change in (
        "update audit_log set actor = 'somebody else'",
        "delete from audit_log",
        "truncate audit_log",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(change)
    assert await pool.fetchval("select actor from audit_log") == "root"
    closed = "select relrowsecurity from pg_class where relname = 'audit_log'"
    assert await pool.fetchval(closed)
