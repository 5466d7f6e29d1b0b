"""Which models may be called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from shmastra_cloud.admin.parts import Parts, Who
from shmastra_cloud.gateway import BadPattern
from shmastra_cloud.identity import UnknownUser
from shmastra_cloud.model_rules import rules_of, set_rules

if TYPE_CHECKING:
    from shmastra_cloud.admin.parts import AdminParts
    from shmastra_cloud.audit import Actor
    from shmastra_cloud.database import Pool

router = APIRouter()


class Patterns(BaseModel):
    """What is to be allowed; no pattern at all removes the rule."""

    patterns: Annotated[list[Annotated[str, Field(max_length=300)]], Field(max_length=200)]


@router.get("/models")
async def models_for_all(here: Parts) -> dict[str, Any]:
    """Return the rule for all."""
    return await _rules(here.pool, None)


@router.put("/models")
async def set_models_for_all(here: Parts, who: Who, wanted: Patterns) -> dict[str, Any]:
    """Set the rule for all."""
    return await _set(here, who, None, wanted)


@router.get("/users/{email}/models")
async def models_of(here: Parts, email: str) -> dict[str, Any]:
    """Return a user's rule."""
    return await _rules(here.pool, email)


@router.put("/users/{email}/models")
async def set_models_of(here: Parts, who: Who, email: str, wanted: Patterns) -> dict[str, Any]:
    """Set a user's rule."""
    return await _set(here, who, email, wanted)


async def _rules(pool: Pool, email: str | None) -> dict[str, Any]:
    try:
        return dict(await rules_of(pool, email))
    except UnknownUser as error:
        raise HTTPException(404, {"error": str(error), "code": "unknown_user"}) from error


async def _set(here: AdminParts, who: Actor, email: str | None, wanted: Patterns) -> dict[str, Any]:
    whose = "organization" if email is None else email
    try:
        async with here.audit.within(who, "models.change", whose, patterns=wanted.patterns) as act:
            act.target_id = None if email is None else await here.users.on(act.pool).find(email)
            return dict(await set_rules(act.pool, email, wanted.patterns))
    except UnknownUser as error:
        raise HTTPException(404, {"error": str(error), "code": "unknown_user"}) from error
    except BadPattern as error:
        raise HTTPException(400, {"error": str(error), "code": error.code}) from error
