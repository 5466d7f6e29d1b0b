"""Budgets and limits; ``who`` is a user's email, ``organization`` or ``default``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException

from shmastra_cloud.admin.parts import Parts, Who
from shmastra_cloud.budgets import Budgets, Change, UnknownOwner

router = APIRouter()


@router.get("/budgets")
async def list_budgets(here: Parts) -> list[dict[str, Any]]:
    """Return the limits of the organization, of everyone and of each user, and how they stand."""
    return await Budgets(here.pool).all()


@router.get("/budgets/{who}")
async def show_budget(here: Parts, who: str) -> dict[str, Any]:
    """Return somebody's limits, and how they stand."""
    try:
        return await Budgets(here.pool).show(who)
    except UnknownOwner as error:
        raise _unknown(error) from error


@router.put("/budgets/{who}")
async def change_budget(here: Parts, asking: Who, who: str, change: Change) -> dict[str, Any]:
    """Change somebody's limits."""
    try:
        async with here.audit.within(asking, "budget.change", who.strip().lower()) as act:
            book = Budgets(act.pool)
            act.target_id = await book.owner(who)
            act.detail = change.model_dump(exclude_unset=True)
            return await book.change(who, change)
    except UnknownOwner as error:
        raise _unknown(error) from error


def _unknown(error: UnknownOwner) -> HTTPException:
    return HTTPException(404, {"error": str(error), "code": "unknown_user"})
