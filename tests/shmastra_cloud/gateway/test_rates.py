import uuid

import pytest
from tests.doubles.limit_store import Books, Store

from shmastra_cloud.gateway import LimitReached, Limits, LimitsUnavailable
from shmastra_cloud.gateway.rates import Slots, Window

ANN = uuid.uuid4()


class World:
    """One owner's rates in two processes, and a clock."""

    def __init__(self, limits: Limits) -> None:
        self.books, self.passed = Books(limits={ANN: limits}), 0.0
        stores = [Store(self.books) for _ in range(2)]
        self.requests = [
            Window(ANN, "Your", "requests", store, self.clock, lambda: 1000 + self.passed) for store in stores
        ]
        self.tokens = [
            Window(ANN, "Your", "tokens", store, self.clock, lambda: 1000 + self.passed) for store in stores
        ]
        self.streams = [Slots(ANN, "Your", store, self.clock) for store in stores]
        for slots in self.streams:
            slots.limited(limits.streams)

    def clock(self) -> float:
        return self.passed

    def next_minute(self) -> None:
        self.passed += 60
        self.books.taken.clear()


async def test_a_minute_is_handed_out_in_parts_and_never_beyond_the_limit() -> None:
    world = World(Limits(requests_per_minute=160))
    let_in, errors = 0, []
    for number in range(200):
        window = world.requests[number % 2]
        try:
            if not window.quick(1, world.passed):
                await window.take(1)
            let_in += 1
        except LimitReached as error:
            errors.append(error)
    assert let_in == 160
    assert {str(error).partition(" is reached")[0] for error in errors} == {
        "Your limit of 160 requests per minute"
    }
    assert all(0 < error.retry_after <= 60 for error in errors)
    assert world.books.queries < 60
    world.next_minute()
    await world.requests[0].take(1)
    assert world.requests[0].free == 9


async def test_a_refused_call_does_not_ask_again_at_once() -> None:
    world = World(Limits(requests_per_minute=1))
    await world.requests[0].take(1)
    for _ in range(10):
        with pytest.raises(LimitReached):
            await world.requests[0].take(1)
    assert world.books.queries == 2
    world.requests[0].limited()
    world.books.limits[ANN] = Limits(requests_per_minute=9)
    await world.requests[0].take(1)


async def test_what_was_used_beyond_is_owed_and_counts_for_everyone() -> None:
    world = World(Limits(tokens_per_minute=1000))
    await world.tokens[0].take(100)
    world.tokens[0].use(700)
    assert world.tokens[0].owes
    await world.tokens[0].pay()
    assert not world.tokens[0].owes
    with pytest.raises(LimitReached, match="1000 tokens per minute"):
        await world.tokens[1].take(300)
    world.next_minute()
    assert not world.tokens[0].owes
    world.tokens[0].use(50)
    assert world.tokens[0].owes
    await world.tokens[0].take(10)
    assert world.books.taken[ANN, "tokens"] == 50 + 10 + world.tokens[0].free


async def test_streams_are_shared_and_come_back() -> None:
    world = World(Limits(streams=3))
    await world.streams[0].take()
    await world.streams[0].take()
    await world.streams[1].take()
    for slots in world.streams:
        with pytest.raises(LimitReached, match="3 streams at once"):
            await slots.take()
    assert world.books.queries == 5
    world.streams[0].release()
    assert world.streams[0].quick(world.passed)
    world.streams[0].release()
    world.passed += 3
    assert world.streams[0].spares
    await world.streams[0].give_back()
    await world.streams[1].take()
    world.passed += 61
    assert not world.streams[1].quick(world.passed)
    world.streams[1].kept(world.passed)
    world.streams[1].release()
    assert world.streams[1].quick(world.passed)


async def test_without_a_database_nothing_new_is_handed_out() -> None:
    world = World(Limits(requests_per_minute=160, streams=32))
    await world.requests[0].take(1)
    await world.streams[0].take()
    world.books.away = True
    assert world.requests[0].quick(1, world.passed)
    assert world.streams[0].quick(world.passed)
    with pytest.raises(LimitsUnavailable):
        await world.requests[0].take(100)
    with pytest.raises(LimitsUnavailable):
        await world.streams[1].take()
    with pytest.raises(LimitsUnavailable):
        await world.streams[1].take()  # and does not wait for the database again
    assert not world.streams[0].idle
    assert not world.requests[0].idle
