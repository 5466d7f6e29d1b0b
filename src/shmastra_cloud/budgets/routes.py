"""What a user used and may still use."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Annotated, Any, cast

from fastapi import APIRouter, Depends, Request

from shmastra_cloud.identity import User
from shmastra_cloud.spending import Usage
from shmastra_cloud.web_context import signed_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shmastra_cloud.budgets.book import Budgets
    from shmastra_cloud.spending import Days, DayUsage

router = APIRouter()
NOTHING = Usage(0, 0, 0, Decimal(0), 0)


@dataclass(frozen=True)
class BudgetParts:
    """What the routes need."""

    budgets: Budgets
    days: Days


def _parts(request: Request) -> BudgetParts:
    return cast("BudgetParts", request.app.state.budgets)


Parts = Annotated[BudgetParts, Depends(_parts)]


@router.get("/api/me/usage")
async def my_usage(here: Parts, user: Annotated[User, Depends(signed_in)]) -> dict[str, Any]:
    """Tell a user what he used today and this month (UTC), and how his limits stand."""
    today = dt.datetime.now(dt.UTC).date()
    rows = await here.days.of_user(user.id, today.replace(day=1))
    return {
        "budget": await here.budgets.applying(user.id),
        "day": _sum(row for row in rows if row.day == today),
        "month": _sum(rows),
        "by_model": [
            {"model": model, **_sum(row for row in rows if row.model == model)}
            for model in sorted({row.model for row in rows})
        ],
        "by_day": [
            {"day": day.isoformat(), **_sum(row for row in rows if row.day == day)}
            for day in sorted({row.day for row in rows})
        ],
    }


def _sum(rows: Iterable[DayUsage]) -> dict[str, Any]:
    total = reduce(add, (row.usage for row in rows), NOTHING)
    return {
        "requests": total.requests,
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "cost_usd": float(total.cost_usd),
        "unpriced_requests": total.unpriced_requests,
    }
