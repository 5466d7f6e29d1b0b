from decimal import Decimal
from typing import Any

import pytest

from shmastra_cloud.audit.words import ENTRIES, TEXT, clean, cleaned, details


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("ann@example.com", "ann@example.com"),
        ("a\x1b[31m\r\nb\x00", "a [31m b"),
        ("a\u202egnp.exe", "a gnp.exe"),
        ("a\ud800b", "a b"),
        ("x" * 1000, "x" * (TEXT - 1) + "…"),
        ("\n" * 100_000, ""),
    ],
)
def test_a_text_is_one_short_line(text: str, line: str) -> None:
    assert clean(text) == line
    assert len(clean(text).encode()) < 4 * TEXT


def test_nothing_stays_nothing() -> None:
    assert cleaned(None) is None


def test_details_are_few_and_short() -> None:
    given: dict[str, Any] = {
        "n": 3,
        "yes": True,
        "none": None,
        "money": Decimal("1.5"),
        "list": ["a\n", 1] * 100,
    }
    kept = details(given)
    assert kept == {"n": 3, "yes": True, "none": None, "money": "1.5", "list": ["a", 1] * (ENTRIES // 2)}
    assert len(details({str(n): n for n in range(100)})) == ENTRIES
    assert details({"deep": [[["x"]]], "map": {"a": 1}}) == {"deep": [], "map": "{'a': 1}"}
