import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmastra_cloud.spending.chart import HEIGHT, MAX_SERIES, OTHERS, WIDTH, Chart, count, dollars, draw
from shmastra_cloud.spending.days import DayUsage, Usage

SINCE, UNTIL = dt.date(2026, 11, 1), dt.date(2026, 11, 30)


def used(day: int, model: str, cost: float, tokens: int = 0) -> DayUsage:
    return DayUsage(dt.date(2026, 11, day), model, Usage(1, tokens, 0, Decimal(str(cost)), 0))


def heights(chart: Chart) -> dict[int, float]:
    sums: dict[int, float] = {}
    for block in chart.blocks:
        sums[block.series] = sums.get(block.series, 0) + block.height
    return sums


def test_bars_are_as_high_as_what_they_stand_for_and_stand_on_each_other() -> None:
    chart = draw([used(1, "a", 2), used(1, "b", 1), used(3, "b", 5)], SINCE, UNTIL, "cost")
    assert chart.names == ("b", "a")
    assert chart.grid[0] == (HEIGHT, "$0.00")
    assert chart.grid[-1] == (0, "$5.00")
    first, above, last = chart.blocks
    assert (first.height, above.height, last.height) == (HEIGHT / 5, HEIGHT * 2 / 5, HEIGHT)
    assert above.y + above.height == first.y
    assert first.label == "01 Nov: b, $1.00"
    assert last.x > first.x


def test_what_is_small_is_drawn_together() -> None:
    chart = draw([used(2, f"model {number}", number + 1) for number in range(20)], SINCE, UNTIL, "cost")
    assert len(chart.names) == MAX_SERIES
    assert chart.names[0] == "model 19"
    assert chart.names[-1] == OTHERS
    assert sum(heights(chart).values()) == pytest.approx(210 / 250 * HEIGHT)


def test_tokens_are_another_measure_and_nothing_is_a_chart_too() -> None:
    chart = draw([used(1, "a", 0, tokens=1500)], SINCE, UNTIL, "tokens")
    assert chart.blocks[0].label == "01 Nov: a, 1.5k"
    empty = draw([used(1, "a", 0)], SINCE, UNTIL, "cost")
    assert (empty.names, empty.blocks) == ((), ())
    assert empty.grid[-1] == (0, "$1.00")


@given(
    st.lists(
        st.builds(
            used,
            st.integers(1, 30),
            st.sampled_from("abcdefghij"),
            st.decimals(0, 10**6, places=8, allow_nan=False).map(float),
        ),
        max_size=40,
    )
)
def test_no_block_leaves_the_drawing(rows: list[DayUsage]) -> None:
    chart = draw(rows, SINCE, UNTIL, "cost")
    for block in chart.blocks:
        assert block.x >= 0
        assert block.x + block.width <= WIDTH
        assert block.y >= -0.01
        assert block.y + block.height <= HEIGHT + 0.01


def test_money_and_tokens_are_written_shortly() -> None:
    assert [dollars(Decimal(text)) for text in ("0", "1234.5", "0.004321", "0.00000001")] == [
        "$0.00",
        "$1,234.50",
        "$0.0043",
        "< $0.0001",
    ]
    assert [count(number) for number in (0, 999, 1500, 2_500_000, 3e9)] == ["0", "999", "1.5k", "2.5M", "3B"]
