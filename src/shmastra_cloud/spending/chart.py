"""A chart of stacked bars, one bar a day, as rectangles that a page can draw; no I/O."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from shmastra_cloud.spending.days import DayUsage, Usage

Measure = Literal["cost", "tokens"]
WIDTH, HEIGHT = 720.0, 200.0  # in the drawing's own units
MAX_SERIES = 6  # as many as can be told apart by colour
OTHERS = "other models"
GAP = 0.25  # of a day's width
_NICE = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Block:
    """One rectangle: its series' number, its place, and what it says when pointed at."""

    series: int
    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Chart:
    """What is drawn: the series' names by number, the blocks, labelled grid lines and days."""

    names: tuple[str, ...]
    blocks: tuple[Block, ...]
    grid: tuple[tuple[float, str], ...]
    days: tuple[tuple[float, str], ...]


def draw(rows: Iterable[DayUsage], since: dt.date, until: dt.date, measure: Measure) -> Chart:
    """Draw the days from ``since`` to ``until``, both included; the largest series stands below."""
    of, written = _MEASURES[measure]
    amounts: dict[str, dict[dt.date, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        amount = of(row.usage)
        if amount:
            amounts[row.model][row.day] += amount
    names, stacks = _largest(amounts)
    days = [since + dt.timedelta(days=number) for number in range((until - since).days + 1)]
    top = _nice(max((sum(stack.get(day, 0) for stack in stacks) for day in days), default=0))
    step = WIDTH / len(days)
    blocks: list[Block] = []
    for place, day in enumerate(days):
        y = HEIGHT
        for series, stack in enumerate(stacks):
            height = stack.get(day, 0) / top * HEIGHT
            if height > 0:
                y -= height
                label = f"{day:%d %b}: {names[series]}, {written(stack[day])}"
                blocks.append(
                    Block(series, place * step + step * GAP / 2, y, step * (1 - GAP), height, label)
                )
    grid = tuple((HEIGHT - HEIGHT * part / 4, written(top * part / 4)) for part in range(5))
    return Chart(names, tuple(blocks), grid, _marks(days, step))


def _largest(
    amounts: dict[str, dict[dt.date, float]],
) -> tuple[tuple[str, ...], list[dict[dt.date, float]]]:
    """Return the series that matter by size, all others as one."""
    ordered = sorted(amounts, key=lambda name: (-sum(amounts[name].values()), name))
    kept = ordered if len(ordered) <= MAX_SERIES else ordered[: MAX_SERIES - 1]
    stacks: list[dict[dt.date, float]] = [dict(amounts[name]) for name in kept]
    if len(kept) == len(ordered):
        return tuple(kept), stacks
    rest: dict[dt.date, float] = defaultdict(float)
    for name in ordered[len(kept) :]:
        for day, amount in amounts[name].items():
            rest[day] += amount
    return (*kept, OTHERS), [*stacks, dict(rest)]


def _nice(largest: float) -> float:
    """Return the round number that the scale ends with."""
    if largest <= 0:
        return 1.0
    size = 10.0 ** floor(log10(largest))
    return next((part * size for part in _NICE if part * size >= largest), 10 * size)


def _marks(days: Sequence[dt.date], step: float) -> tuple[tuple[float, str], ...]:
    """Return about six days to be named below the bars."""
    every = max(1, ceil(len(days) / 6))
    return tuple(
        ((place + 0.5) * step, f"{day:%d %b}") for place, day in enumerate(days) if place % every == 0
    )


def dollars(amount: float | Decimal) -> str:
    """Write money: cents, or what is below them to two digits."""
    if amount == 0 or amount >= Decimal("0.01"):
        return f"${amount:,.2f}"
    return f"${amount:.2g}" if amount >= Decimal("0.0001") else "< $0.0001"


def count(amount: float) -> str:
    """Write a number of tokens shortly."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if amount >= size:
            return f"{amount / size:.3g}{letter}"
    return f"{amount:.0f}"


def _cost(usage: Usage) -> float:
    return float(usage.cost_usd)


def _tokens(usage: Usage) -> float:
    return float(usage.tokens)


_MEASURES: dict[Measure, tuple[Callable[[Usage], float], Callable[[float], str]]] = {
    "cost": (_cost, dollars),
    "tokens": (_tokens, count),
}
