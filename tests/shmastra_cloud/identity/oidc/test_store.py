from __future__ import annotations

import asyncio

import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Provided, Sessions, Users
from shmastra_cloud.identity.oidc import store as module
from shmastra_cloud.identity.oidc.store import ProvidedSessions, Secret
from shmastra_cloud.secrets_at_rest import Vault

SECRET = Secret("https://id", "ann", "rt", "idt")


@pytest.fixture
def store(pool: Pool, vault: Vault) -> ProvidedSessions:
    return ProvidedSessions(pool, vault)


async def begin(store: ProvidedSessions, vault: Vault, sub: str, sid: str | None = None) -> str:
    user_id = await Users(store.pool, vault).invite(f"{sub}@example.com")
    await store.pool.execute("update users set oidc_id = $2 where id = $1", user_id, f"https://id#{sub}")
    provided = Provided("oidc", sid, store.seal(SECRET), check_seconds=0, life_seconds=600)
    return await Sessions(store.pool).start(user_id, provided=provided)


async def test_a_secret_is_sealed_and_opened(store: ProvidedSessions) -> None:
    sealed = store.seal(SECRET)
    assert b"rt" not in sealed
    assert store.open(sealed) == SECRET


async def test_due_sessions_are_shared_out_and_come_again_when_nobody_finished(
    store: ProvidedSessions, vault: Vault
) -> None:
    for number in range(6):
        await begin(store, vault, f"u{number}")
    async with store.pool.acquire() as connection, connection.transaction():
        mine = await ProvidedSessions(connection, vault).take_due(2)  # type: ignore[arg-type]
        async with asyncio.timeout(5):
            others = await store.take_due(9)
    assert (len(mine), len({due.token_hash for due in (*mine, *others)})) == (2, 6)
    assert await store.take_due(9) == []
    await store.pool.execute("update sessions set check_after = now() - interval '1 second'")
    assert len(await store.take_due(9)) == 6


async def test_a_secret_that_was_sealed_anew_meanwhile_is_the_same(
    store: ProvidedSessions, vault: Vault
) -> None:
    await begin(store, vault, "ann")
    [due] = await store.take_due(9)
    secret = store.open(due.sealed)
    assert secret is not None
    await store.pool.execute("update sessions set provider_secret = $1", store.seal(secret))
    assert await store.keep(due, Secret("https://id", "ann", "rt2"), 60) is not None


async def test_a_session_that_ended_or_changed_meanwhile_is_left_alone(
    store: ProvidedSessions, vault: Vault
) -> None:
    await begin(store, vault, "ann")
    [due] = await store.take_due(9)
    kept = await store.keep(due, Secret("https://id", "ann", "rt2"), 60)
    assert kept is not None
    assert await store.keep(due, SECRET, 60) is None, "that was of before"
    await store.end(due)
    assert await store.pool.fetchval("select count(*) from sessions") == 1
    await store.end(kept)
    assert await store.pool.fetchval("select count(*) from sessions") == 0


async def test_a_session_is_prolonged_up_to_thirty_days_and_never_cut(
    store: ProvidedSessions, vault: Vault
) -> None:
    await begin(store, vault, "ann")
    [due] = await store.take_due(9)
    left = "select extract(epoch from expires_at - now())::int from sessions"
    await store.prolong(due, 3600, 2_592_000)
    assert 3590 <= await store.pool.fetchval(left) <= 3600
    await store.prolong(due, 60, 2_592_000)
    assert await store.pool.fetchval(left) > 3500
    await store.pool.execute(
        "update sessions set created_at = now() - interval '30 days' + interval '2 hours'"
    )
    await store.prolong(due, 10_000_000, 2_592_000)
    assert 7100 <= await store.pool.fetchval(left) <= 7200


@pytest.mark.parametrize(
    ("subject", "sid", "ended"),
    [
        ("https://id#ann", None, 2),
        ("https://id#ann", "s1", 1),
        (None, "s1", 1),
        (None, "s3", 1),
        ("https://id#ann", "s3", 0),
        ("https://evil#ann", None, 0),
        (None, "s9", 0),
        (None, None, 0),
    ],
)
async def test_a_logout_ends_just_the_sessions_that_it_names(
    store: ProvidedSessions, vault: Vault, subject: str | None, sid: str | None, ended: int
) -> None:
    for sub, one in (("ann", "s1"), ("ann", "s2"), ("bob", "s3")):
        await begin(store, vault, sub, one)
    local = await Sessions(store.pool).start(await Users(store.pool, vault).invite("ann@example.com"))
    assert await store.end_at_provider(subject, sid) == ended
    assert await store.pool.fetchval("select count(*) from sessions") == 4 - ended
    assert await Sessions(store.pool).user(local), "a one-time link's session is not the provider's"


async def test_what_is_good_once_is_good_once_of_many_at_a_time(store: ProvidedSessions) -> None:
    assert sorted(await asyncio.gather(*(store.spend("x", 60) for _ in range(5)))) == [False] * 4 + [True]
    assert await store.spend("y", -1)
    await store.forget_spent()
    assert await store.pool.fetchval("select count(*) from oidc_spent") == 1


async def test_a_lease_outlasts_the_longest_check() -> None:
    from shmastra_cloud.identity.oidc.checks import ANSWER_SECONDS

    assert module.LEASE_SECONDS > 2 * ANSWER_SECONDS


async def test_known_is_who_has_that_id_or_an_email_that_has_none(
    store: ProvidedSessions, vault: Vault
) -> None:
    await begin(store, vault, "ann")
    await Users(store.pool, vault).invite("bob@example.com")
    assert await store.is_known("https://id#ann", "other@example.com")
    assert await store.is_known("https://id#bob", "Bob@example.com")
    assert not await store.is_known("https://id#eve", "ann@example.com"), "that address is another's"
    assert not await store.is_known("https://id#eve", "eve@example.com")


async def test_a_role_is_what_it_was_set_to(store: ProvidedSessions, vault: Vault) -> None:
    user_id = await Users(store.pool, vault).invite("ann@example.com")
    for admin, role in ((True, "admin"), (False, "member")):
        await store.set_role(user_id, admin=admin)
        assert await store.pool.fetchval("select role from users") == role
