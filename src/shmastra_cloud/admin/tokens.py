"""API tokens of all admins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from fastapi import APIRouter, HTTPException

from shmastra_cloud.admin.parts import Parts, Who
from shmastra_cloud.api_tokens import Tokens, UnknownToken

if TYPE_CHECKING:
    from shmastra_cloud.database import Row

router = APIRouter()


@router.get("/tokens")
async def list_tokens(here: Parts) -> list[dict[str, Any]]:
    """Return every token that has not ended, without what it is."""
    rows: list[Row] = await Tokens(here.pool).all()
    return [dict(row) for row in rows]


@router.post("/tokens/{token_id}/revoke")
async def revoke_token(here: Parts, who: Who, token_id: UUID) -> dict[str, str]:
    """End a token, on every process at once."""
    try:
        async with here.audit.within(who, "token.revoke") as act:
            act.target_id = token_id
            email, act.target = await Tokens(act.pool).revoke(token_id)
            act.detail["owner"] = email
    except UnknownToken as error:
        raise HTTPException(404, {"error": str(error), "code": error.code}) from error
    return {"email": email, "name": act.target or ""}
