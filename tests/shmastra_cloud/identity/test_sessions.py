import asyncio

import asyncpg

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Sessions, Users, cookie_name
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
