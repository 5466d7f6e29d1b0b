"""Which models may be called: over the admin's socket, and for an admin in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, Field

from shmastra_cloud.admin.parts import Parts
from shmastra_cloud.gateway import BadPattern
from shmastra_cloud.identity import UnknownUser
from shmastra_cloud.model_rules import rules_of, set_rules
from shmastra_cloud.web_context import WebContext, administrator, context

if TYPE_CHECKING:
    from shmastra_cloud.database import Pool

router = APIRouter()
manage_router = APIRouter(dependencies=[Depends(administrator)])

Context = Annotated[WebContext, Depends(context)]


class Patterns(BaseModel):
    """What is to be allowed; no pattern at all removes the rule."""

    patterns: Annotated[list[Annotated[str, Field(max_length=300)]], Field(max_length=200)]


@router.get("/models")
async def models_for_all(here: Parts) -> dict[str, Any]:
    """Return the rule for all."""
    return await _rules(here.pool, None)


@router.put("/models")
async def set_models_for_all(here: Parts, wanted: Patterns) -> dict[str, Any]:
    """Set the rule for all."""
    return await _set(here.pool, None, wanted)


@router.get("/users/{email}/models")
async def models_of(here: Parts, email: str) -> dict[str, Any]:
    """Return a user's rule."""
    return await _rules(here.pool, email)


@router.put("/users/{email}/models")
async def set_models_of(here: Parts, email: str, wanted: Patterns) -> dict[str, Any]:
    """Set a user's rule."""
    return await _set(here.pool, email, wanted)


@manage_router.get("/api/manage/models")
async def manage_models_for_all(here: Context) -> dict[str, Any]:
    """Return the rule for all."""
    return await _rules(here.pool, None)


@manage_router.put("/api/manage/models")
async def manage_set_models_for_all(here: Context, wanted: Patterns) -> dict[str, Any]:
    """Set the rule for all."""
    return await _set(here.pool, None, wanted)


@manage_router.get("/api/manage/users/{email}/models")
async def manage_models_of(here: Context, email: str) -> dict[str, Any]:
    """Return a user's rule."""
    return await _rules(here.pool, email)


@manage_router.put("/api/manage/users/{email}/models")
async def manage_set_models_of(here: Context, email: str, wanted: Patterns) -> dict[str, Any]:
    """Set a user's rule."""
    return await _set(here.pool, email, wanted)


async def _rules(pool: Pool, email: str | None) -> dict[str, Any]:
    try:
        return dict(await rules_of(pool, email))
    except UnknownUser as error:
        raise HTTPException(404, {"error": str(error), "code": "unknown_user"}) from error


async def _set(pool: Pool, email: str | None, wanted: Patterns) -> dict[str, Any]:
    try:
        return dict(await set_rules(pool, email, wanted.patterns))
    except UnknownUser as error:
        raise HTTPException(404, {"error": str(error), "code": "unknown_user"}) from error
    except BadPattern as error:
        raise HTTPException(400, {"error": str(error), "code": error.code}) from error
