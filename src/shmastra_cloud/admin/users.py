"""Users and their keys."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from pydantic import AfterValidator, BaseModel, Field

from shmastra_cloud.admin.parts import Parts, answered
from shmastra_cloud.identity import make_link
from shmastra_cloud.workspaces import EngineError, LeaseLost, UnknownWorkspace

router = APIRouter()

EMAIL = re.compile(r"[^@\s/?#]+@[^@\s/?#]+")


def _email(text: str) -> str:
    if not EMAIL.fullmatch(text.strip()):
        raise ValueError("it must look like name@example.com")
    return text.strip()


class Invitation(BaseModel):
    """Who is invited."""

    email: Annotated[str, Field(max_length=320), AfterValidator(_email)]
    admin: bool = False


@router.get("/users")
async def list_users(here: Parts) -> list[dict[str, Any]]:
    """Return every user."""
    return [dict(row) for row in await here.users.all()]


@router.post("/users")
async def invite(here: Parts, invitation: Invitation) -> dict[str, Any]:
    """Invite a user and return a one-time link."""
    await here.users.invite(invitation.email, admin=invitation.admin)
    return await link(here, invitation.email)


@router.post("/users/{email}/link")
async def link(here: Parts, email: str) -> dict[str, Any]:
    """Return a one-time link for a user."""
    with answered():
        user_id = await here.users.find(email)
    token, expires_at = await make_link(here.pool, user_id)
    url = f"{here.settings.public_url}/login/link/{token}"
    return {"email": email.strip().lower(), "url": url, "expires_at": expires_at.isoformat()}


@router.post("/users/{email}/sign-out")
async def sign_out(here: Parts, email: str) -> dict[str, Any]:
    """End every session of a user."""
    with answered():
        user_id = await here.users.find(email)
    return {"email": email.strip().lower(), "sessions": await here.users.sign_out(user_id)}


@router.post("/users/{email}/disable")
async def disable(here: Parts, email: str) -> dict[str, str]:
    """Shut a user out; the worker pauses his sandbox, which is idle from now on."""
    with answered():
        await here.users.set_disabled(email, disabled=True)
    return {"email": email}


@router.post("/users/{email}/enable")
async def enable(here: Parts, email: str) -> dict[str, str]:
    """Let a user in again."""
    with answered():
        await here.users.set_disabled(email, disabled=False)
    return {"email": email}


@router.post("/users/{email}/remove")
async def remove(here: Parts, email: str) -> dict[str, str]:
    """Shut a user out, destroy his sandbox, forget him: in this order, so that it can be asked for again."""
    with answered():
        await here.users.set_disabled(email, disabled=True)
        user_id = await here.users.find(email)
    try:
        await here.lifecycle.delete(user_id)
    except UnknownWorkspace:
        pass  # he never had one
    except (EngineError, LeaseLost) as error:
        text = f"{email} is shut out, but his sandbox still exists: {error} Remove him again to go on."
        raise HTTPException(503, {"error": text, "code": "sandbox_left"}) from error
    with answered():
        await here.users.remove(email)
    return {"email": email}


@router.post("/users/{email}/rotate-key")
async def rotate_key(here: Parts, email: str) -> dict[str, str]:
    """Replace a user's virtual key."""
    with answered():
        await here.users.rotate_key(email)
    return {"email": email}
