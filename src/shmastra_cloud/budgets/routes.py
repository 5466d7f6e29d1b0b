"""What a user used and may still use, and the limits of all for admins."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Annotated, Any, cast

from fastapi import APIRouter, Depends, HTTPException, Request

from shmastra_cloud.budgets.changes import Change
from shmastra_cloud.budgets.errors import UnknownOwner
from shmastra_cloud.identity import User
from shmastra_cloud.spending import Usage
from shmastra_cloud.web_context import signed_in, visitor

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


async def _admin(user: Annotated[User | None, Depends(visitor)]) -> User:
    if user is None:
        raise HTTPException(401, {"error": "Sign in first.", "code": "signed_out"})
    if user.role != "admin":
        raise HTTPException(404, {"error": "There is nothing here.", "code": "not_found"})
    return user


Parts = Annotated[BudgetParts, Depends(_parts)]
Admin = Annotated[User, Depends(_admin)]


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


@router.get("/api/manage/budgets")
async def every_budget(here: Parts, _admin: Admin) -> list[dict[str, Any]]:
    """Tell the limits of the organization, of everyone and of each user, and how they stand."""
    return await here.budgets.all()


@router.get("/api/manage/budgets/{who}")
async def one_budget(here: Parts, _admin: Admin, who: str) -> dict[str, Any]:
    """Tell somebody's limits, and how they stand."""
    try:
        return await here.budgets.show(who)
    except UnknownOwner as error:
        raise unknown(error) from error


@router.put("/api/manage/budgets/{who}")
async def change_budget(here: Parts, _admin: Admin, who: str, change: Change) -> dict[str, Any]:
    """Change somebody's limits."""
    try:
        return await here.budgets.change(who, change)
    except UnknownOwner as error:
        raise unknown(error) from error


def unknown(error: UnknownOwner) -> HTTPException:
    """Return the refusal for somebody who has no budgets."""
    return HTTPException(404, {"error": str(error), "code": "unknown_user"})


def _sum(rows: Iterable[DayUsage]) -> dict[str, Any]:
    total = reduce(add, (row.usage for row in rows), NOTHING)
    return {
        "requests": total.requests,
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "cost_usd": float(total.cost_usd),
        "unpriced_requests": total.unpriced_requests,
    }
