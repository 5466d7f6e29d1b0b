import asyncio
import uuid

import pytest

from shmastra_cloud.gateway import KeyCache, KeyOwner, KeysUnavailable

USER = uuid.uuid4()


class Lookup:
    def __init__(self) -> None:
        self.asked, self.away, self.owner = 0, False, KeyOwner(USER)

    async def lookup(self, key_hash: bytes) -> KeyOwner | None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise OSError("away")
        return self.owner if key_hash == b"known" else None


async def test_known_and_unknown_keys_are_asked_for_once_until_dropped() -> None:
    lookup = Lookup()
    cache = KeyCache(lookup)
    for _ in range(3):
        assert await cache.owner(b"known") == KeyOwner(USER)
        assert await cache.owner(b"guess") is None
    assert lookup.asked == 2
    assert cache.sizes == {"known": 1, "unknown": 1}
    cache.drop(USER)
    assert cache.sizes == {"known": 0, "unknown": 0}
    await cache.owner(b"known")
    assert lookup.asked == 3


async def test_what_is_surely_nobodys_is_not_asked_for_and_every_change_is_passed_on() -> None:
    class Hashes:
        said_stale = 0

        def rules_out(self, key_hash: bytes) -> bool:
            return key_hash == b"guess"

        def stale(self) -> None:
            self.said_stale += 1

    lookup, hashes = Lookup(), Hashes()
    cache = KeyCache(lookup, known=hashes)
    assert await cache.owner(b"guess") is None
    assert lookup.asked == 0
    assert await cache.owner(b"known") == KeyOwner(USER)
    cache.drop(USER)
    cache.drop_all()
    assert hashes.said_stale == 2


async def test_while_the_database_is_away_known_keys_go_on_for_a_minute() -> None:
    lookup, now = Lookup(), [1000.0]
    cache = KeyCache(lookup, clock=lambda: now[0])
    await cache.owner(b"known")
    lookup.away, cache.degraded = True, True
    assert await cache.owner(b"known") == KeyOwner(USER)
    with pytest.raises(KeysUnavailable):
        await cache.owner(b"other")
    now[0] += 61
    with pytest.raises(KeysUnavailable):
        await cache.owner(b"known")
    lookup.away, cache.degraded = False, False
    assert await cache.owner(b"known") == KeyOwner(USER)


async def test_guesses_are_bounded() -> None:
    cache = KeyCache(Lookup(), negative_bound=10)
    for number in range(100):
        await cache.owner(b"%d" % number)
    assert len(cache._unknown) == 10


async def test_a_database_that_just_did_not_answer_is_not_waited_for_again_at_once() -> None:
    lookup, now = Lookup(), [1000.0]
    cache = KeyCache(lookup, clock=lambda: now[0])
    await cache.owner(b"known")
    lookup.away, cache.degraded = True, True
    for _ in range(5):
        assert await cache.owner(b"known") == KeyOwner(USER)
    assert lookup.asked == 2
    now[0] += 1
    await cache.owner(b"known")
    assert lookup.asked == 3
