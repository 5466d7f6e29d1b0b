"""A key that was taken away is refused by every process within a second, and new ones are known at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from shmastra_cloud.database import Notifications, Pool
from shmastra_cloud.gateway import KeyCache, KeyOwner
from shmastra_cloud.identity import Users, key_hash
from shmastra_cloud.metering import KeysInDatabase
from shmastra_cloud.secrets_at_rest import Vault

EMAIL = "ann@example.com"


class Counted(KeysInDatabase):
    """Looks keys up, and counts how often."""

    asked = 0

    async def lookup(self, key_hash: bytes) -> KeyOwner | None:
        self.asked += 1
        return await super().lookup(key_hash)


@asynccontextmanager
async def process(dsn: str, pool: Pool) -> AsyncIterator[tuple[KeyCache, Counted]]:
    """Do what one process does for its keys."""
    notifications = Notifications(dsn, {}, lambda: None)
    lookup = Counted(pool)
    keys = KeyCache(lookup, listening=lambda: notifications.connected)
    notifications.subscribe({"user": lambda payload: keys.drop(UUID(payload))}, keys.drop_all)
    task = asyncio.create_task(notifications.run())
    try:
        async with asyncio.timeout(10):
            while not notifications.connected:
                await asyncio.sleep(0.01)
        yield keys, lookup
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def refuses(keys: KeyCache, digest: bytes) -> None:
    while await keys.owner(digest) is not None:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "take_away",
    [
        lambda users: users.rotate_key(EMAIL),
        lambda users: users.set_disabled(EMAIL, disabled=True),
        lambda users: users.remove(EMAIL),
    ],
    ids=["rotated", "disabled", "removed"],
)
async def test_every_process_refuses_it_within_a_second(
    dsn: str, pool: Pool, vault: Vault, take_away: Callable[[Users], Awaitable[None]]
) -> None:
    users = Users(pool, vault)
    user_id = await users.invite(EMAIL)
    digest = key_hash(await users.virtual_key(user_id))
    async with process(dsn, pool) as (one, first), process(dsn, pool) as (two, second):
        for _ in range(5):
            assert await one.owner(digest) == await two.owner(digest) == KeyOwner(user_id)
        assert first.asked == second.asked == 1
        await take_away(users)
        async with asyncio.timeout(1):
            await asyncio.gather(refuses(one, digest), refuses(two, digest))


async def test_a_key_that_was_guessed_before_it_was_made_is_known_at_once(
    dsn: str, pool: Pool, vault: Vault
) -> None:
    users = Users(pool, vault)
    user_id = await users.invite(EMAIL)
    old, guess = await users.virtual_key(user_id), b"\x01" * 32
    async with process(dsn, pool) as (keys, lookup):
        for _ in range(5):
            assert await keys.owner(guess) is None
        assert lookup.asked == 1
        await pool.execute("update users set virtual_key_hash = $1 where id = $2", guess, user_id)
        async with asyncio.timeout(1):
            while await keys.owner(guess) is None:
                await asyncio.sleep(0.01)
        assert await keys.owner(key_hash(old)) is None


async def test_what_changed_while_nobody_listened_is_noticed(dsn: str, pool: Pool, vault: Vault) -> None:
    users = Users(pool, vault)
    digest = key_hash(await users.virtual_key(await users.invite(EMAIL)))
    async with process(dsn, pool) as (keys, _):
        assert await keys.owner(digest) is not None
        await pool.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where query like '%LISTEN%' and datname = current_database() and pid <> pg_backend_pid()"
        )
        await users.rotate_key(EMAIL)
        async with asyncio.timeout(1):
            await refuses(keys, digest)
