import asyncio
import datetime as dt
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Device, Sessions, Users, cookie_name, session_hash
from shmastra_cloud.secrets_at_rest import Vault


async def test_a_session_lives_until_it_is_ended(pool: Pool, vault: Vault) -> None:
    user = await Users(pool, vault).invite("ann@example.com")
    sessions = Sessions(pool)
    token = await sessions.start(user)
    for _ in range(2):
        found = await sessions.user(token)
        assert found is not None
        assert (found.id, found.email, found.role) == (user, "ann@example.com", "member")
    await sessions.end(token)
    assert await sessions.user(token) is None


async def test_a_disabled_user_is_out_as_soon_as_the_cache_is_told(pool: Pool, vault: Vault) -> None:
    users = Users(pool, vault)
    sessions = Sessions(pool)
    token = await sessions.start(await users.invite("ann@example.com"))
    assert await sessions.user(token)
    await users.set_disabled("ann@example.com", disabled=True)
    sessions.forget()
    assert await sessions.user(token) is None


async def test_rubbish_is_nobody(pool: Pool) -> None:
    for rubbish in (None, "", "x" * 129, "not-a-token", "\ud800"):
        assert await Sessions(pool).user(rubbish) is None


def test_the_cookie_is_bound_to_the_host_under_tls() -> None:
    assert cookie_name(https=True) == "__Host-shmastra_session"
    assert cookie_name(https=False) == "shmastra_session"


async def test_the_end_of_a_session_is_told_by_its_hash(pool: Pool, dsn: str, vault: Vault) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    sessions, other = Sessions(pool), Sessions(pool)
    token = await sessions.start(await Users(pool, vault).invite("ann@example.com"))
    listener = await asyncpg.connect(dsn)
    try:
        await listener.add_listener("session", lambda *heard: told.put_nowait(str(heard[3])))
        assert await other.user(token)
        await sessions.end(token)
        ended = await asyncio.wait_for(told.get(), 10)
    finally:
        await listener.close()
    assert await other.user(token), "it still believes what it remembers"
    other.ended(ended)
    assert await other.user(token) is None


@pytest.fixture
async def user_id(pool: Pool, vault: Vault) -> UUID:
    return await Users(pool, vault).invite("ann@example.com")


@pytest.mark.parametrize("column", ["expires_at", "last_used_at"])
async def test_a_session_ends_by_its_age_and_by_not_being_used(
    pool: Pool, user_id: UUID, column: str
) -> None:
    sessions = Sessions(pool, lambda: False, idle=dt.timedelta(hours=1))
    token = await sessions.start(user_id)
    hour = "now() - interval '61 minutes'"
    assert await sessions.user(token)
    await pool.execute(f"update sessions set {column} = {hour}")
    assert await sessions.user(token) is None
    assert await sessions.good([session_hash(token)]) == []
    assert await sessions.of(user_id) == []
    assert await sessions.sweep() == 1
    assert await pool.fetchval("select count(*) from sessions") == 0


async def test_a_session_that_is_used_stays_and_one_that_is_not_is_not_written_to(
    pool: Pool, user_id: UUID
) -> None:
    sessions = Sessions(pool, lambda: False)
    token = await sessions.start(user_id)
    asked = "select last_used_at from sessions"
    before = await pool.fetchval(asked)
    assert await sessions.user(token)
    assert await pool.fetchval(asked) == before
    await pool.execute("update sessions set last_used_at = now() - interval '6 days'")
    assert await sessions.user(token)
    assert await pool.fetchval(asked) > before
    assert await sessions.sweep() == 0


async def test_a_user_has_a_hundred_sessions_at_most(pool: Pool, user_id: UUID) -> None:
    sessions = Sessions(pool)
    first = await sessions.start(user_id)
    await pool.execute(
        "insert into sessions (token_hash, user_id, expires_at, last_used_at)"
        " select decode(md5(n::text), 'hex'), $1, now() + interval '1 day', now() + interval '1 minute'"
        " from generate_series(1, 99) n",
        user_id,
    )
    assert await sessions.user(first)
    await sessions.start(user_id)
    assert await pool.fetchval("select count(*) from sessions") == 100
    assert await Sessions(pool).user(first) is None


async def test_what_a_browser_calls_itself_is_kept_without_what_could_act(pool: Pool, user_id: UUID) -> None:
    await Sessions(pool).start(user_id, device=Device("192.0.2.1", "a\x1b[2Jb\u202ec\x00" + "d" * 300))
    [row] = await Sessions(pool).of(user_id)
    assert row["agent"] == "a[2Jbc" + "d" * 194


async def test_who_is_looked_up_while_he_is_shut_out_is_looked_up_again(
    pool: Pool, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(pool)
    token = await sessions.start(user_id)
    look_up: Any = sessions._look_up

    async def late(digest: bytes) -> Any:
        found = await look_up(digest)
        await pool.execute("delete from sessions")
        sessions.ended(session_hash(token).hex())
        monkeypatch.setattr(sessions, "_look_up", look_up)
        return found

    monkeypatch.setattr(sessions, "_look_up", late)
    assert await sessions.user(token) is None


async def test_what_is_open_is_cut_when_its_session_ends_or_its_user_may_no_longer(
    pool: Pool, user_id: UUID, vault: Vault
) -> None:
    sessions, users = Sessions(pool), Users(pool, vault)
    other = await users.invite("bob@example.com")
    tokens = [await sessions.start(one) for one in (user_id, user_id, other)]
    owners = (user_id, user_id, other)
    first, second, third = (
        sessions.streams.open(owner, session_hash(token), sessions.streams.news)
        for owner, token in zip(owners, tokens, strict=True)
    )
    cutting = asyncio.create_task(sessions.streams.run())
    try:
        await sessions.end(tokens[0])
        sessions.ended(session_hash(tokens[0]).hex())
        sessions.user_changed(str(uuid4()))
        await until(lambda: first.error is not None)
        assert second.error is None
        await users.set_disabled("ann@example.com", disabled=True)
        sessions.user_changed(str(user_id))
        await until(lambda: second.error is not None)
        assert third.error is None
        await users.remove("bob@example.com")
        sessions.forget()  # as after a gap
        await until(lambda: third.error is not None)
    finally:
        cutting.cancel()


async def until(true: Any) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.005)
