"""The ledger against an oracle: whatever happens in whatever order, no more is spent than may be."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)
from tests.doubles.limit_store import Books, Store

from shmastra_cloud.gateway import (
    EVERYONE,
    NO_LIMIT,
    ORGANIZATION,
    Ask,
    LimitReached,
    Limits,
    LimitsUnavailable,
    Reservation,
    UsageRow,
    limits,
    slices,
    usd,
)
from shmastra_cloud.gateway.budget import day_of
from shmastra_cloud.gateway.limits import Limiter

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
ANN, BOB = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "RECALL_SECONDS", 0.0)


class Clock:
    """Two clocks that go together."""

    def __init__(self) -> None:
        self.passed = 0.0

    def clock(self) -> float:
        return self.passed

    def now(self) -> float:
        return NOON + self.passed


def row(user: uuid.UUID, cost: int, at: float, leases: tuple[uuid.UUID, ...]) -> UsageRow:
    some: Any = (user, "openai", "m", "agent", 1, 0, 0, 1, 200, 1, 1, "complete", False)
    return UsageRow(*some, datetime.fromtimestamp(at, UTC), uuid.uuid4(), cost=usd(cost), leases=leases)


def slices_usd(cost: int) -> Any:
    from shmastra_cloud.gateway import usd

    return usd(cost)


class Process:
    """One process: a ledger, and the rows that it has not written yet."""

    def __init__(self, books: Books, clock: Clock) -> None:
        self.store = Store(books)
        self.limiter = Limiter(self.store, clock=clock.clock, now=clock.now)
        self.rows: list[UsageRow] = []


class Call:
    """A running call: who makes it, where, since when, and what is reserved."""

    def __init__(self, process: Process, user: uuid.UUID, at: float, reservation: Reservation) -> None:
        self.process, self.user, self.at, self.reservation = process, user, at, reservation
        self.reserved = reservation.amount


class Ledgers(RuleBasedStateMachine):
    """Two users, an organization, processes that come and die, a clock, a database that goes away."""

    calls = Bundle("calls")

    @initialize(data=st.data())
    def begin(self, data: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.books, self.clock = Books(), Clock()
        money = st.one_of(st.none(), st.integers(0, 3000), st.integers(1000, 5000))
        for owner in (ANN, BOB, ORGANIZATION):
            self.books.limits[owner] = Limits(data.draw(money), data.draw(money))
        self.processes = [Process(self.books, self.clock) for _ in range(2)]
        self.real: dict[tuple[uuid.UUID, str, Any], int] = {}
        self.dead: list[Call] = []
        self.running: list[Call] = []
        self.beyond: dict[tuple[uuid.UUID, str, Any], int] = {}
        for process in self.processes:
            self.run(process.limiter.load())

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()

    def _keys(self, user: uuid.UUID, at: float) -> list[tuple[uuid.UUID, str, Any]]:
        day = datetime.fromtimestamp(at, UTC).date()
        return [
            (owner, period, day if period == "day" else day.replace(day=1))
            for owner in (user, ORGANIZATION)
            for period in ("day", "month")
        ]

    @rule(
        target=calls,
        where=st.integers(0, 1),
        user=st.sampled_from([ANN, BOB]),
        most=st.integers(1, 800),
        share=st.sampled_from([0.1, 0.5, 1.0]),
    )
    def reserve(self, where: int, user: uuid.UUID, most: int, share: float) -> Any:
        process = self.processes[where]
        least = max(1, int(most * share))
        ask = Ask(start=most, least=least, step=0 if share == 1.0 else 7)
        accounts = process.limiter.accounts(user)
        at = self.clock.now()
        try:
            reservation = self.run(process.limiter.reserve(accounts, ask, at))
        except (LimitReached, LimitsUnavailable):
            return None
        assert least <= reservation.amount <= most or not reservation.leases
        call = Call(process, user, at, reservation)
        self.running.append(call)
        return call

    @rule(call=calls, cost=st.integers(0, 900))
    def go_on(self, call: Call | None, cost: int) -> None:
        if call in self.running:
            allowed = self.run(call.reservation.extend(cost))
            assert allowed == (cost <= call.reservation.amount) or not call.reservation.leases

    @rule(call=consumes(calls), share=st.sampled_from([0.0, 0.3, 1.0]), more=st.sampled_from([0, 0, 0, 5]))
    def settle(self, call: Call | None, share: float, more: int) -> None:
        if call not in self.running:
            return
        cost = int(call.reservation.amount * share) + more
        call.reservation.settle(cost)
        call.reservation.settle(cost + 1)
        call.process.rows.append(row(call.user, cost, call.at, call.reservation.leases))
        self._pay(call, cost, max(0, cost - call.reservation.amount))
        self.running.remove(call)

    def _pay(self, call: Call, cost: int, beyond: int) -> None:
        for key in self._keys(call.user, call.at):
            self.real[key] = self.real.get(key, 0) + cost
            self.beyond[key] = self.beyond.get(key, 0) + beyond

    @rule(where=st.integers(0, 1))
    def write(self, where: int) -> None:
        process = self.processes[where]
        if not self.books.away:
            self.books.write(process.rows)
            process.limiter.written(process.rows)
            process.rows = []

    @rule(where=st.integers(0, 1))
    def recall(self, where: int) -> None:
        for owner in self.books.recalled:
            self.processes[where].limiter.recall(owner)
        if not self.books.away:
            self.run(self.processes[where].limiter.tick())

    @rule(seconds=st.sampled_from([0.5, 3.0, 11.0, 15.0, 61.0, 43_200.0, 86_400.0 * 5]))
    def pass_time(self, seconds: float) -> None:
        self.clock.passed += seconds
        if not self.books.away:
            for process in self.processes:
                self.run(process.limiter.tick())

    @rule(out=st.sampled_from([False, False, True]))
    def database_goes_or_comes(self, out: bool) -> None:
        self.books.away = out

    @rule(where=st.integers(0, 1))
    def kill(self, where: int) -> None:
        """End a process: what its running calls used until then is real, and never written."""
        old = self.processes[where]
        for call in [one for one in self.running if one.process is old]:
            self._pay(call, call.reservation.amount, 0)
            self.running.remove(call)
        self.processes[where] = Process(self.books, self.clock)
        self._load(where)

    @precondition(lambda self: not self.books.away)
    @rule(where=st.integers(0, 1))
    def shut_down(self, where: int) -> None:
        old = self.processes[where]
        for call in [one for one in self.running if one.process is old]:
            call.reservation.settle(call.reservation.amount)
            old.rows.append(row(call.user, call.reservation.amount, call.at, call.reservation.leases))
            self._pay(call, call.reservation.amount, 0)
            self.running.remove(call)
        self.write(where)
        self.run(old.limiter.aclose())
        assert not any(one.holder == old.store.holder and one.units for one in self.books.slices.values())
        self.processes[where] = Process(self.books, self.clock)
        self._load(where)

    def _load(self, where: int) -> None:
        away, self.books.away = self.books.away, False
        self.run(self.processes[where].limiter.load())
        self.books.away = away

    @invariant()
    def nothing_is_spent_or_promised_beyond_a_budget(self) -> None:
        if not hasattr(self, "books"):
            return
        promised: dict[tuple[uuid.UUID, str, Any], int] = dict(self.real)
        for call in self.running:
            for key in self._keys(call.user, call.at):
                promised[key] = promised.get(key, 0) + call.reservation.amount
        for (owner, period, starts), amount in promised.items():
            limits = self.books.of(owner)
            limit = limits.usd_per_day if period == "day" else limits.usd_per_month
            if limit is not None:
                assert amount <= limit + self.beyond.get((owner, period, starts), 0)

    @invariant()
    def the_database_holds_what_processes_may_spend(self) -> None:
        if not hasattr(self, "books"):
            return
        in_use: dict[uuid.UUID, int] = {}
        for call in self.running:
            for lease in call.reservation.leases:
                in_use[lease] = in_use.get(lease, 0) + call.reservation.amount
        for process in self.processes:
            for row in process.rows:
                for lease in row.leases:
                    in_use[lease] = in_use.get(lease, 0) + row.units
            for account in process.limiter._accounts.values():
                for one in account.money.slices.values():
                    in_use[one.id] = in_use.get(one.id, 0) + one.free
        for lease, amount in in_use.items():
            held = self.books.slices[lease].units if lease in self.books.slices else 0
            assert amount <= held if lease in self.books.overdrawn else amount == held


TestLedgers = Ledgers.TestCase
TestLedgers.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


async def ledger(**values: Any) -> tuple[Books, Clock, Process]:
    books, clock = Books(limits={ANN: Limits(**values)}), Clock()
    process = Process(books, clock)
    await process.limiter.load()
    return books, clock, process


async def test_who_has_no_limit_costs_nothing() -> None:
    books, _, process = await ledger()
    assert process.limiter.accounts(BOB) == ()
    books.limits[EVERYONE] = Limits(usd_per_day=NO_LIMIT)
    await process.limiter.load()
    assert process.limiter.accounts(BOB) == ()
    books.limits[EVERYONE] = Limits(usd_per_day=5)
    assert process.limiter.accounts(BOB) == ()
    process.limiter.changed()
    await process.limiter.tick()
    [account] = process.limiter.accounts(BOB)
    assert account.limits == Limits(usd_per_day=5)
    books.limits[BOB] = Limits(usd_per_day=NO_LIMIT)
    await process.limiter.load()
    assert process.limiter.accounts(BOB) == ()


async def test_what_is_settled_and_written_goes_back_in_the_end() -> None:
    books, clock, process = await ledger(usd_per_month=1000)
    limiter = process.limiter
    for _ in range(3):
        both = [await limiter.reserve(limiter.accounts(ANN), Ask(10, 10)) for _ in range(2)]
        for reservation in both:
            reservation.settle(4)
            rows = [row(ANN, 4, clock.now(), reservation.leases)]
            books.write(rows)
            limiter.written(rows)
    clock.passed += 11
    await limiter.tick()
    assert books.slices == {}
    assert limiter._slices == {}
    clock.passed += 61
    await limiter.tick()
    clock.passed += 61
    await limiter.tick()
    assert limiter._accounts == {}


async def test_a_lowered_budget_gets_back_what_is_free_at_once() -> None:
    books, _, process = await ledger(usd_per_month=1_000_000)
    await process.limiter.reserve(process.limiter.accounts(ANN), Ask(10, 10))
    assert books.held(ANN) == 10_000
    books.limits[ANN] = Limits(usd_per_month=500)
    process.limiter.heard()["budget"](str(ANN))
    await process.limiter.tick()
    assert books.held(ANN) == 10
    with pytest.raises(LimitReached):
        await process.limiter.reserve(process.limiter.accounts(ANN), Ask(600, 600))


async def test_a_recall_gives_back_what_is_free() -> None:
    books, _, process = await ledger(usd_per_month=1_000_000)
    await process.limiter.reserve(process.limiter.accounts(ANN), Ask(10, 10))
    process.limiter.heard()["budget_recall"](str(BOB))
    process.limiter.heard()["budget_recall"](str(ANN))
    await process.limiter.tick()
    assert books.held(ANN) == 10


async def test_a_refused_call_leaves_nothing_reserved() -> None:
    books, _, process = await ledger(usd_per_month=1000, requests_per_minute=100, streams=5)
    books.limits[ORGANIZATION] = Limits(usd_per_month=10)
    await process.limiter.load()
    both = process.limiter.accounts(ANN)
    before = [account.requests.free for account in both]
    with pytest.raises(LimitReached, match="The organization's budget"):
        await process.limiter.reserve(both, Ask(500, 500, tokens=5, streams=True))
    assert both[0].streams.used == 0
    assert both[0].requests.free == before[0] + 6
    assert both[0].money.slices[day_of(NOON)].free == books.held(ANN) == 500
    assert books.held(ORGANIZATION) == 0


async def test_it_is_kept_in_order_until_it_is_cancelled(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TICK_SECONDS", 0.01)
    books, _, process = await ledger(usd_per_month=1_000_000)
    await process.limiter.reserve(process.limiter.accounts(ANN), Ask(10, 10))
    books.away = True
    running = asyncio.create_task(process.limiter.run())
    process.limiter.changed()
    async with asyncio.timeout(5):
        while "cannot be kept" not in caplog.text:
            await asyncio.sleep(0.01)
        books.away = False
        books.limits[ANN] = Limits(usd_per_month=20)
        process.limiter.changed()
        while books.held(ANN) > 10:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    books.away = True
    await process.limiter.aclose()
    assert "could not be given back" in caplog.text
