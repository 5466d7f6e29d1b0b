import uuid

from tests.doubles.limit_store import Books, Store

from shmastra_cloud.gateway import ORGANIZATION, Ask, Limiter, Limits

ANN = uuid.uuid4()
NOW = 20_000 * 86_400.0


async def ledger(ann: int, all_: int) -> tuple[Books, Limiter]:
    books = Books(limits={ANN: Limits(usd_per_month=ann), ORGANIZATION: Limits(usd_per_day=all_)})
    limiter = Limiter(Store(books), now=lambda: NOW)
    await limiter.load()
    return books, limiter


async def test_a_running_call_takes_more_as_it_goes_until_one_of_its_owners_has_no_more() -> None:
    books, limiter = await ledger(100_000, 2000)
    reservation = await limiter.reserve(limiter.accounts(ANN), Ask(1000, 10, 100))
    began = reservation.amount
    assert reservation.allows(began)
    so_far = began
    while await reservation.extend(so_far + 50):
        so_far += 50
        assert reservation.amount >= so_far
    assert 1900 <= so_far <= 2000
    assert reservation.amount <= 2000
    reservation.settle(so_far)
    reservation.settle(0)
    assert {one.open for one in limiter._slices.values()} == {0}
    assert {one.unwritten for one in limiter._slices.values()} == {so_far}
    assert books.held(ORGANIZATION) <= 2000


async def test_a_call_without_a_budget_may_go_on_for_ever() -> None:
    books = Books(limits={ANN: Limits(streams=2)})
    limiter = Limiter(Store(books))
    await limiter.load()
    reservation = await limiter.reserve(limiter.accounts(ANN), Ask(0, 0, streams=True))
    assert reservation.allows(10**15)
    assert await reservation.extend(10**15)
    assert reservation.leases == ()
    assert reservation.headers() == []
    reservation.settle(5, 7)


async def test_a_call_ends_where_the_database_goes_away() -> None:
    books, limiter = await ledger(100_000, 100_000)
    reservation = await limiter.reserve(limiter.accounts(ANN), Ask(1000, 10, 100))
    books.away = True
    assert not await reservation.extend(90_000)


async def test_the_tightest_budget_stands_in_the_headers() -> None:
    _, limiter = await ledger(50_000_000, 100_000_000)
    reservation = await limiter.reserve(limiter.accounts(ANN), Ask(10_000_000, 10_000_000))
    assert reservation.headers() == [
        (b"x-shmastra-budget-remaining-usd", b"0.40000000"),
        (b"x-shmastra-budget-reset", b"2024-11-01T00:00:00Z"),
    ]
    assert len(reservation.leases) == 2
