import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.doubles.limit_store import Books, Store

from shmastra_cloud.gateway import (
    KeyOwner,
    Limiter,
    LimitReached,
    Limits,
    Prices,
    PriceUnknown,
    UsageRow,
    limit_gate,
    usd,
)
from shmastra_cloud.gateway.budget import UNITS
from shmastra_cloud.gateway.limit_gate import LimitGate

ANN = uuid.uuid4()
OWNER = KeyOwner(ANN)
MODEL = "gpt-realtime"


async def gate(limits: Limits) -> tuple[Books, Limiter, LimitGate]:
    books = Books(limits={ANN: limits})
    limiter = Limiter(Store(books))
    await limiter.load()
    return books, limiter, LimitGate(limiter, Prices())


def row(cost: int, leases: tuple[uuid.UUID, ...]) -> UsageRow:
    some: Any = (ANN, "openai", MODEL, "agent", 5, 0, 0, 5, 101, 1, 1, "complete", False, datetime.now(UTC))
    return UsageRow(*some, uuid.uuid4(), cost=usd(cost), leases=leases)


async def test_each_response_is_paid_from_a_reservation_of_its_own() -> None:
    books, limiter, there = await gate(Limits(usd_per_month=UNITS, streams=1))
    permit = await there.admit(OWNER, "openai", MODEL)
    with pytest.raises(LimitReached):
        await there.admit(OWNER, "openai", MODEL)
    for _ in range(3):
        used = row(1000, permit.leases)
        assert len(used.leases) == 1
        assert await permit.settle(used) is None
        books.write([used])
        limiter.written([used])
    assert permit.spent(100) is None
    permit.ended()
    [slice_] = limiter.accounts(ANN)[0].money.slices.values()
    assert slice_.drained
    assert slice_.free == books.held(ANN)
    assert (await there.admit(OWNER, "openai", MODEL)).leases == (slice_.id,)


async def test_a_connection_ends_when_its_money_does() -> None:
    _, _, there = await gate(Limits(usd_per_month=UNITS // 3))
    permit = await there.admit(OWNER, "openai", MODEL)
    error = permit.spent(10_000)
    assert isinstance(error, LimitReached)
    assert isinstance(await permit.settle(row(UNITS // 3, permit.leases)), LimitReached)
    permit.ended()


async def test_what_a_day_did_not_reserve_it_does_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    books, limiter, there = await gate(Limits(usd_per_month=UNITS))
    permit = await there.admit(OWNER, "openai", MODEL)
    monkeypatch.setattr(limit_gate, "day_of", lambda _now: 1)
    used = row(1000, permit.leases)
    assert used.leases == ()
    assert await permit.settle(used) is None
    [slice_] = limiter.accounts(ANN)[0].money.slices.values()
    assert slice_.unwritten == 0
    permit.ended()
    assert slice_.free == books.held(ANN)


async def test_without_limits_or_a_price() -> None:
    _, _, free = await gate(Limits())
    permit = await free.admit(OWNER, "openai", "no-such-model")
    assert (permit.leases, permit.spent(10**9)) == ((), None)
    _, _, rated = await gate(Limits(requests_per_minute=9))
    permit = await rated.admit(OWNER, "openai", "no-such-model")
    assert permit.spent(10**9) is None
    assert await permit.settle(row(5, permit.leases)) is None
    permit.ended()
    _, limiter, strict = await gate(Limits(usd_per_day=UNITS, streams=1))
    with pytest.raises(PriceUnknown):
        await strict.admit(OWNER, "openai", "no-such-model")
    assert limiter.accounts(ANN)[0].streams.used == 0
    _, limiter, poor = await gate(Limits(usd_per_day=1, streams=1))
    with pytest.raises(LimitReached):
        await poor.admit(OWNER, "openai", MODEL)
    assert limiter.accounts(ANN)[0].streams.used == 0
