from datetime import UTC, datetime
from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import given

from shmastra_cloud.gateway.budget import (
    NO_LIMIT,
    SLICE,
    UNITS,
    Limits,
    Purse,
    Standing,
    as_date,
    day_of,
    decimal,
    grant,
    reset_stamp,
    resets_at,
    shown,
    units,
    usd,
)

amounts = st.integers(0, 10**12)
purses = st.one_of(st.none(), st.builds(Purse, amounts, amounts, amounts))


@given(st.builds(Standing, purses, purses, amounts), st.integers(0, 10**12), st.data())
def test_a_grant_is_enough_or_all_or_nothing_and_never_beyond_what_is_left(
    standing: Standing, need: int, data: st.DataObject
) -> None:
    least = data.draw(st.integers(0, need))
    granted = grant(standing, need, least)
    if standing.room is None:
        assert granted == need
        return
    assert granted <= standing.room
    if granted >= need:
        assert granted <= max(need, SLICE, 1)
        assert granted <= need or granted <= standing.room // 4
    else:
        assert granted in (0, standing.room)
        assert granted == 0 or granted >= least
    if need <= standing.room:
        assert granted >= need


@given(st.decimals(0, 999_999, places=8))
def test_money_is_whole_units_and_comes_back_as_it_was(amount: Decimal) -> None:
    assert usd(units(amount)) == amount
    assert Decimal(decimal(units(amount)).decode()) == amount


def test_a_fraction_of_a_unit_is_rounded_up() -> None:
    assert units(Decimal("0.000000001")) == 1
    assert units(Decimal(0)) == 0


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0.00"),
        (UNITS, "1.00"),
        (150 * UNITS, "150.00"),
        (UNITS // 4, "0.25"),
        (UNITS // 80, "0.0125"),
        (125, "0.00000125"),
    ],
)
def test_money_is_shown_as_people_write_it(amount: int, text: str) -> None:
    assert shown(amount) == text


@pytest.mark.parametrize(
    ("now", "day", "month"),
    [
        ((2026, 11, 26, 23, 59), (2026, 11, 27), (2026, 12, 1)),
        ((2026, 12, 31, 12, 0), (2027, 1, 1), (2027, 1, 1)),
        ((2028, 2, 29, 0, 0), (2028, 3, 1), (2028, 3, 1)),
        ((2026, 1, 31, 0, 0), (2026, 2, 1), (2026, 2, 1)),
    ],
)
def test_days_and_months_end_by_utc(
    now: tuple[int, int, int, int, int], day: tuple[int, int, int], month: tuple[int, int, int]
) -> None:
    today = day_of(datetime(*now, tzinfo=UTC).timestamp())
    assert as_date(today) == datetime(*now).date()  # noqa: DTZ001 -- its date is what is compared
    assert resets_at("day", today) == datetime(*day, tzinfo=UTC)
    assert resets_at("month", today) == datetime(*month, tzinfo=UTC)
    assert reset_stamp("month", today).decode() == f"{datetime(*month, tzinfo=UTC):%Y-%m-%d}T00:00:00Z"


def test_ones_own_limit_wins_and_no_limit_is_one() -> None:
    general = Limits(10, 20, 30, 40, 50)
    own = Limits(usd_per_day=1, streams=NO_LIMIT)
    assert own.over(general) == Limits(1, 20, 30, 40, None)
    assert not Limits(usd_per_day=NO_LIMIT).over(Limits())
    assert Limits(streams=1).rated
    assert not Limits(streams=1).money
    assert not Limits(usd_per_day=1).rated
    assert Limits(usd_per_day=0).money


def test_the_tightest_is_that_of_which_the_least_is_left() -> None:
    day, month = Purse(10, 3, 2), Purse(100, 97, 0)
    assert Standing(day, month).tightest == ("month", month)
    assert Standing(day, None).tightest == ("day", day)
    assert Standing().tightest is None
    assert Standing(day, month).eased(1) == Standing(Purse(10, 3, 1), Purse(100, 97, 0))
    assert Purse(10, 12, 1).room == 0
