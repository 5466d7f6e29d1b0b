"""What is said to a call that a limit refuses: which limit, whose, how much, and when it resets."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shmastra_cloud.gateway.budget import resets_at, shown, stamp
from shmastra_cloud.gateway.errors import LimitReached

if TYPE_CHECKING:
    from shmastra_cloud.gateway.budget import Period, Purse, Standing

HELD_SECONDS = 5
STREAM_SECONDS = 1
MINUTE = 60


def over_budget(  # noqa: PLR0913, PLR0917 -- a refusal says so much
    whose: str, standing: Standing, need: int, free: int, day: int, now: float
) -> LimitReached:
    """Refuse a call that needs ``need`` units where ``free`` and what can be leased are less.

    ``whose`` begins a sentence ("Your"). Where only running calls are in the way, it may come again soon.
    """
    found = standing.tightest
    if found is None:
        raise ValueError("no budget can refuse where there is none")
    period, purse = found
    reset = resets_at(period, day)
    left = purse.limit - purse.spent
    text = f"{_budget(whose, period)} {_why(purse, left, need, free)} It resets at {stamp(reset)}."
    seconds = HELD_SECONDS if need <= left else max(1, math.ceil(reset.timestamp() - now))
    return LimitReached(text, retry_after=seconds, code="budget_exceeded")


def _budget(whose: str, period: Period) -> str:
    return f"{whose} budget for this {period}"


def _why(purse: Purse, left: int, need: int, free: int) -> str:
    limit = shown(purse.limit)
    if left <= 0:
        return f"is used up: {shown(purse.spent)} of {limit} USD are spent."
    if need > left:
        return (
            f"has {shown(left)} of {limit} USD left, and this call may cost {shown(need)} USD."
            " Ask for a shorter answer, or of a cheaper model."
        )
    room = max(0, min(left, purse.room + free))
    return (
        f"has {shown(room)} of {limit} USD left that no running call has reserved, and this call may cost"
        f" {shown(need)} USD. Try again when one has ended."
    )


def over_rate(whose: str, kind: str, most: int, seconds: float, now: float) -> LimitReached:
    """Refuse a call beyond ``most`` ``kind`` ("requests", "tokens") in a minute that ends in ``seconds``."""
    reset = datetime.fromtimestamp(now + seconds, UTC)
    text = f"{whose} limit of {most} {kind} per minute is reached. It resets at {stamp(reset)}."
    return LimitReached(text, retry_after=max(1, math.ceil(seconds)), code="rate_limit_exceeded")


def over_streams(whose: str, most: int) -> LimitReached:
    """Refuse a stream beyond ``most`` at once."""
    text = f"{whose} limit of {most} streams at once is reached. It resets when one of them has ended."
    return LimitReached(text, retry_after=STREAM_SECONDS, code="too_many_streams")
