import asyncio
import uuid

import pytest
from tests.doubles.limit_store import Books, Store

from shmastra_cloud.gateway import LimitReached, Limits, LimitsUnavailable, slices
from shmastra_cloud.gateway.slices import Money

ANN = uuid.uuid4()
DAY = 20_000
NOW = DAY * 86_400.0


class World:
    """One owner's money in two processes, and a clock."""

    def __init__(self, limit: int) -> None:
        self.books, self.passed = Books(limits={ANN: Limits(usd_per_month=limit)}), 0.0
        self.one, self.other = (
            Money(ANN, "Your", Store(self.books), lambda: self.passed, lambda: NOW) for _ in range(2)
        )
        for money in (self.one, self.other):
            money.limited(self.books.limits[ANN])
            money.hurried = False


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "RECALL_SECONDS", 0.0)


async def test_only_an_empty_slice_costs_a_query() -> None:
    world = World(100_000)
    slice_, taken = await world.one.take(DAY, 10, 10)
    assert (taken, slice_.free, world.books.queries) == (10, 990, 1)
    for _ in range(99):
        assert world.one.quick(DAY, 10, world.passed) is slice_
    assert world.one.quick(DAY, 10, world.passed) is None
    assert world.books.queries == 1


async def test_who_is_refused_asks_again_only_after_a_while_or_for_less() -> None:
    world = World(1000)
    await world.other.take(DAY, 995, 995)
    for _ in range(20):
        with pytest.raises(LimitReached):
            await world.one.take(DAY, 100, 100)
    assert world.books.queries == 3  # one to take, one refused, one after the other was asked to give back
    assert world.books.recalled == [ANN, ANN]
    assert (await world.one.take(DAY, 5, 5))[1] == 5
    world.passed += 1.1
    with pytest.raises(LimitReached):
        await world.one.take(DAY, 100, 100)
    assert world.books.queries == 6


async def test_what_is_not_needed_goes_back_sooner_or_later_and_at_once_when_recalled() -> None:
    world = World(100_000)
    slice_, _ = await world.one.take(DAY, 50_000, 50_000)
    world.one.settle(slice_, 50_000, 100)
    assert list(world.one.surplus(DAY)) == []
    world.passed += 3
    assert list(world.one.surplus(DAY)) == [(slice_.id, 48_900)]
    assert slice_.free == 1000
    world.one.hurried = True
    assert list(world.one.surplus(DAY)) == [(slice_.id, 1000)]
    world.passed += 11
    assert list(world.one.closing(DAY)) == []  # what was settled is not written
    slice_.unwritten -= 100
    assert list(world.one.closing(DAY)) == [slice_]
    assert world.one.idle


async def test_yesterdays_money_is_given_back_when_its_calls_have_ended() -> None:
    world = World(100_000)
    slice_, _ = await world.one.take(DAY, 10, 10)
    assert list(world.one.surplus(DAY + 1)) == [(slice_.id, 990)]
    assert list(world.one.closing(DAY + 1)) == []
    assert await world.one.more(slice_, 5, 0) == 5
    world.one.settle(slice_, 15, 0)
    assert list(world.one.closing(DAY + 1)) == [slice_]


async def test_a_slice_serves_without_a_database_until_it_expires() -> None:
    world = World(100_000)
    slice_, _ = await world.one.take(DAY, 10, 10)
    world.books.away = True
    assert world.one.quick(DAY, 10, world.passed) is slice_
    with pytest.raises(LimitsUnavailable):
        await world.one.take(DAY, 5000, 5000)
    world.passed += 61
    assert world.one.quick(DAY, 10, world.passed) is None
    assert world.one.ahead(slice_, 1, 0) == 0
    with pytest.raises(LimitsUnavailable):
        await world.one.take(DAY, 10, 10)
    world.books.away = False
    world.passed += 1
    assert (await world.one.take(DAY, 10, 10))[0] is slice_


async def test_a_slice_that_is_gone_from_the_database_is_not_spent() -> None:
    world = World(100_000)
    slice_, _ = await world.one.take(DAY, 10, 10)
    world.books.slices.clear()
    world.one.kept(set(), world.passed)
    assert slice_.free == 990  # leased since it was asked
    world.passed += 1
    world.one.kept(set(), world.passed)
    assert slice_.free == 0
    slice_.free = 990
    world.passed += 100
    assert (await world.one.take(DAY, 2000, 2000))[1] == 2000
    assert world.books.held(ANN) == slice_.free + 2000


async def test_who_waits_may_leave_and_what_was_granted_is_known() -> None:
    world = World(100_000)
    gate = asyncio.Event()
    store = world.one._store
    lease = store.lease

    async def slowly(*asked: object) -> object:
        await gate.wait()
        return await lease(*asked)  # type: ignore[arg-type]

    store.lease = slowly  # type: ignore[method-assign,assignment]
    waiting = asyncio.ensure_future(world.one.take(DAY, 10, 10))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    gate.set()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(0.01)
    assert world.one.slices[DAY].free == world.books.held(ANN) == 1000


async def test_what_little_is_left_is_shared() -> None:
    world = World(800)
    taken: list[int] = []
    while sum(taken) <= 790:
        taken.append((await world.one.take(DAY, 500, 10))[1])
    assert taken[:5] == [62, 62, 62, 62, 62]
    assert min(taken) == 10
    assert len(taken) > 20
    assert 790 < sum(taken) <= 800
