"""The usage pages: what a user used, and, for admins, who used what."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import Response

from shmastra_cloud.identity import User
from shmastra_cloud.pages import page
from shmastra_cloud.spending.chart import HEIGHT, WIDTH, Measure, count, dollars, draw
from shmastra_cloud.spending.days import Usage
from shmastra_cloud.web_context import to_sign_in, visitor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from uuid import UUID

    from shmastra_cloud.spending.days import Days, DayUsage

router = APIRouter()

Range = Annotated[int, Query(ge=1, le=366)]
RANGES = (7, 30, 90)
NOTHING = Usage(0, 0, 0, Decimal(0), 0)


@dataclass(frozen=True)
class Budget:
    """One budget as a page shows it: whose and how long (``your month``), USD, and when it begins anew."""

    name: str
    limit: Decimal
    used: Decimal
    resets_at: dt.datetime


@dataclass(frozen=True)
class SpendingParts:
    """What the routes need; ``budgets`` are those that hold for a user, or for all (None)."""

    days: Days
    budgets: Callable[[UUID | None], Awaitable[Sequence[Budget]]]


def _parts(request: Request) -> SpendingParts:
    return cast("SpendingParts", request.app.state.spending)


Parts = Annotated[SpendingParts, Depends(_parts)]
Visitor = Annotated[User | None, Depends(visitor)]


@router.get("/usage")
async def usage_page(
    request: Request, here: Parts, user: Visitor, days: Range = 30, measure: Measure | None = None
) -> Response:
    """Show a user what he used, by day and model."""
    if user is None:
        return to_sign_in(request)
    rows = await here.days.of_user(user.id, _since(days))
    return _page(
        rows, days, measure, user, path="/usage", budgets=await here.budgets(user.id), title="Your usage"
    )


@router.get("/manage/usage")
async def everyones_usage_page(
    request: Request, here: Parts, user: Visitor, days: Range = 30, measure: Measure | None = None
) -> Response:
    """Show an admin who used what."""
    if user is None:
        return to_sign_in(request)
    if user.role != "admin":
        raise HTTPException(404, {"error": "There is nothing here.", "code": "not_found"})
    rows = await here.days.of_all(_since(days))
    return _page(
        rows,
        days,
        measure,
        user,
        path="/manage/usage",
        budgets=await here.budgets(None),
        title="Everyone's usage",
        users=await here.days.by_user(_since(days)),
    )


def _since(days: int) -> dt.date:
    return dt.datetime.now(dt.UTC).date() - dt.timedelta(days=days - 1)


def _page(  # noqa: PLR0913 -- a page shows this much
    rows: list[DayUsage],
    days: int,
    measure: Measure | None,
    user: User,
    *,
    path: str,
    title: str,
    budgets: Sequence[Budget],
    users: list[tuple[str, Usage]] | None = None,
) -> Response:
    total = reduce(add, (row.usage for row in rows), NOTHING)
    shown: Measure = measure or ("cost" if total.cost_usd or not total.tokens else "tokens")
    today = dt.datetime.now(dt.UTC).date()
    return page(
        "usage.html",
        title=title,
        path=path,
        user=user,
        days=days,
        ranges=RANGES,
        measure=shown,
        total=total,
        models=_by_model(rows),
        users=users,
        budgets=budgets,
        chart=draw(rows, _since(days), today, shown),
        width=WIDTH,
        height=HEIGHT,
        dollars=dollars,
        count=count,
    )


def _by_model(rows: Iterable[DayUsage]) -> list[tuple[str, Usage]]:
    sums: dict[str, Usage] = {}
    for row in rows:
        sums[row.model] = sums.get(row.model, NOTHING) + row.usage
    return sorted(sums.items(), key=lambda one: (-one[1].cost_usd, -one[1].tokens, one[0]))
