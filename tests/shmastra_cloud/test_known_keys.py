from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
from tests.shmastra_cloud.test_revocation import EMAIL, Counted

from shmastra_cloud import known_keys
from shmastra_cloud.database import Notifications, Pool
from shmastra_cloud.gateway import KeyCache
from shmastra_cloud.identity import Users, key_hash
from shmastra_cloud.known_keys import KnownKeys
from shmastra_cloud.secrets_at_rest import Vault

GUESS = bytes(32)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(known_keys, "RETRY_SECONDS", 0.02)


async def until_ruled_out(known: KnownKeys, key: bytes = GUESS) -> None:
    async with asyncio.timeout(10):
        while not known.rules_out(key):
            await asyncio.sleep(0.01)


@pytest.fixture
async def known(pool: Pool) -> AsyncIterator[KnownKeys]:
    book = KnownKeys(pool, lambda: True)
    task = asyncio.create_task(book.run())
    yield book
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_keys_of_users_are_known_and_no_others(pool: Pool, vault: Vault, known: KnownKeys) -> None:
    users = Users(pool, vault)
    await until_ruled_out(known)  # there is no user yet
    mine = key_hash(await users.virtual_key(await users.invite(EMAIL)))
    assert known.rules_out(mine)
    known.stale()
    assert not known.rules_out(GUESS), "until they are read anew, any key may be somebody's"
    await until_ruled_out(known)
    assert not known.rules_out(mine)
    await users.set_disabled(EMAIL, disabled=True)
    known.stale()
    await until_ruled_out(known, mine)


async def test_nothing_is_ruled_out_where_changes_may_be_missed_or_keys_are_too_many(
    pool: Pool, vault: Vault
) -> None:
    users = Users(pool, vault)
    for number in range(3):
        await users.invite(f"{number}@example.com")
    listening = True
    book, small = KnownKeys(pool, lambda: listening), KnownKeys(pool, lambda: True, bound=2)
    tasks = [asyncio.create_task(one.run()) for one in (book, small)]
    await until_ruled_out(book)
    await asyncio.sleep(0.1)
    assert not small.rules_out(GUESS)
    listening = False
    assert not book.rules_out(GUESS)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_database_that_is_away_is_asked_again(
    pool: Pool, known: KnownKeys, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read, failures = KnownKeys._read, [OSError("away")]

    async def troubled(self: KnownKeys) -> frozenset[bytes] | None:
        if failures:
            raise failures.pop()
        return await read(self)

    monkeypatch.setattr(KnownKeys, "_read", troubled)
    known.stale()
    await until_ruled_out(known)
    assert "trying again" in caplog.text


async def test_guessing_costs_the_database_nothing_and_a_new_users_key_works_at_once(
    dsn: str, pool: Pool, vault: Vault
) -> None:
    notifications, lookup = Notifications(dsn, {}, lambda: None), Counted(pool)
    known = KnownKeys(pool, lambda: notifications.connected)
    keys = KeyCache(lookup, listening=lambda: notifications.connected, known=known)
    notifications.subscribe({"user": lambda _: keys.drop_all()}, keys.drop_all)
    tasks = [asyncio.create_task(one.run()) for one in (notifications, known)]
    try:
        await until_ruled_out(known)
        for _ in range(1000):
            assert await keys.owner(secrets.token_bytes(32)) is None
        assert lookup.asked == 0
        users = Users(pool, vault)
        mine = key_hash(await users.virtual_key(await users.invite(EMAIL)))
        async with asyncio.timeout(1):
            while await keys.owner(mine) is None:
                await asyncio.sleep(0.01)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
