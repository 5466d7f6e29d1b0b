from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from shmastra_cloud.budgets.changes import NAMES, Change, told


def test_only_what_is_named_is_changed() -> None:
    assert Change().values() == {}
    change = Change(usd_per_day=Decimal("1.5"), usd_per_month="none", streams="default", tokens_per_minute=7)
    assert change.values() == {
        "usd_per_day": Decimal("1.5"),
        "usd_per_month": -1,
        "tokens_per_minute": 7,
        "streams": None,
    }
    assert Change.model_validate({"streams": None}).values() == {"streams": None}


@pytest.mark.parametrize(
    "wrong",
    [
        {"usd_per_day": -1},
        {"usd_per_day": "1e99"},
        {"usd_per_day": "NaN"},
        {"usd_per_day": 0.123456789},
        {"streams": 1.5},
        {"streams": 2**40},
        {"streams": "some"},
        {"usd_per_year": 1},
    ],
    ids=repr,
)
def test_what_is_no_limit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Change.model_validate(wrong)


def test_a_limit_is_told_as_it_was_set() -> None:
    assert [told(name, None) for name in NAMES] == ["default"] * 5
    assert told("usd_per_day", Decimal(-1)) == "none"
    assert told("usd_per_day", Decimal("1.25")) == 1.25
    assert told("streams", 0) == 0
