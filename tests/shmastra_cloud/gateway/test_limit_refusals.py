from datetime import UTC, datetime

import pytest

from shmastra_cloud.gateway.budget import UNITS, Purse, Standing, day_of
from shmastra_cloud.gateway.limit_refusals import over_budget, over_rate, over_streams

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
HALF_A_DAY = 43_200


def test_a_refusal_says_which_budget_whose_how_much_and_when_it_resets() -> None:
    spent = Standing(day=Purse(10 * UNITS, 10 * UNITS, 0), month=Purse(50 * UNITS, 20 * UNITS, 0))
    error = over_budget("Your", spent, 5, 0, day_of(NOW), NOW)
    assert str(error) == (
        "Your budget for this day is used up: 10.00 of 10.00 USD are spent."
        " It resets at 2026-11-27T00:00:00Z."
    )
    assert (error.status, error.code, error.retry_after, error.retry) == (
        429,
        "budget_exceeded",
        HALF_A_DAY,
        False,
    )


def test_what_does_not_fit_is_told_from_what_others_hold() -> None:
    standing = Standing(month=Purse(10 * UNITS, 9 * UNITS, UNITS // 2))
    large = over_budget("The organization's", standing, 2 * UNITS, 0, day_of(NOW), NOW)
    assert "has 1.00 of 10.00 USD left, and this call may cost 2.00 USD" in str(large)
    assert large.retry_after == 4 * 86_400 + HALF_A_DAY
    soon = over_budget("The organization's", standing, UNITS * 3 // 4, UNITS // 10, day_of(NOW), NOW)
    assert "has 0.60 of 10.00 USD left that no running call has reserved" in str(soon)
    assert (soon.retry_after, soon.retry) == (5, True)


def test_no_budget_refuses_nothing() -> None:
    with pytest.raises(ValueError, match="no budget"):
        over_budget("Your", Standing(), 1, 0, day_of(NOW), NOW)


def test_rates_and_streams_say_when_to_come_again() -> None:
    rate = over_rate("Your", "requests", 60, 12.2, NOW)
    assert str(rate) == "Your limit of 60 requests per minute is reached. It resets at 2026-11-26T12:00:12Z."
    assert (rate.retry_after, rate.code) == (13, "rate_limit_exceeded")
    streams = over_streams("Your", 4)
    assert (streams.retry_after, streams.code) == (1, "too_many_streams")
