"""Users and their keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, HTTPException
from pydantic import AfterValidator, BaseModel, Field

from shmastra_cloud.admin.parts import Parts, Who, answered
from shmastra_cloud.database import transaction
from shmastra_cloud.identity import make_link
from shmastra_cloud.workspaces import EngineError, LeaseLost, UnknownWorkspace

if TYPE_CHECKING:
    import datetime as dt
    from uuid import UUID

    from shmastra_cloud.admin.parts import AdminParts
    from shmastra_cloud.audit import Actor
    from shmastra_cloud.identity import Users

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


class Role(BaseModel):
    """What somebody is to be."""

    role: Literal["member", "admin"]


@router.get("/users")
async def list_users(here: Parts) -> list[dict[str, Any]]:
    """Return every user."""
    return [dict(row) for row in await here.users.all()]


@router.post("/users")
async def invite(here: Parts, who: Who, invitation: Invitation) -> dict[str, Any]:
    """Invite a user and return a one-time link."""
    email = invitation.email.strip().lower()
    async with here.audit.within(who, "user.invite", email, admin=invitation.admin) as act:
        act.target_id = await here.users.on(act.pool).invite(email, admin=invitation.admin)
        token, expires_at = await make_link(act.pool, act.target_id)
    return _link(here, email, token, expires_at)


@router.post("/users/{email}/link")
async def link(here: Parts, who: Who, email: str) -> dict[str, Any]:
    """Return a one-time link for a user."""
    email = email.strip().lower()
    with answered():
        async with here.audit.within(who, "user.link", email) as act:
            act.target_id = await here.users.on(act.pool).find(email)
            token, expires_at = await make_link(act.pool, act.target_id)
    return _link(here, email, token, expires_at)


def _link(here: AdminParts, email: str, token: str, expires_at: dt.datetime) -> dict[str, Any]:
    url = f"{here.settings.public_url}/login/link/{token}"
    return {"email": email, "url": url, "expires_at": expires_at.isoformat()}


@router.post("/users/{email}/role")
async def set_role(here: Parts, who: Who, email: str, wanted: Role) -> dict[str, str]:
    """Make a user an admin or a member; the last admin stays one."""
    with answered():
        async with here.audit.within(who, "user.role", email, role=wanted.role) as act:
            users = here.users.on(act.pool)
            act.target_id = await users.find(email)
            act.detail["before"] = await users.set_role(act.target_id, wanted.role)
    return {"email": email.strip().lower(), "role": wanted.role}


@router.post("/users/{email}/sign-out")
async def sign_out(here: Parts, who: Who, email: str) -> dict[str, Any]:
    """End every session of a user."""
    with answered():
        async with here.audit.within(who, "user.sign-out", email) as act:
            users = here.users.on(act.pool)
            act.target_id = await users.find(email)
            act.detail["sessions"] = ended = await users.sign_out(act.target_id)
    return {"email": email.strip().lower(), "sessions": ended}


@router.post("/users/{email}/disable")
async def disable(here: Parts, who: Who, email: str) -> dict[str, str]:
    """Shut a user out; the worker pauses his sandbox, which is idle from now on."""
    await _set_disabled(here, who, email, disabled=True)
    return {"email": email}


@router.post("/users/{email}/enable")
async def enable(here: Parts, who: Who, email: str) -> dict[str, str]:
    """Let a user in again."""
    await _set_disabled(here, who, email, disabled=False)
    return {"email": email}


async def _set_disabled(here: AdminParts, who: Actor, email: str, *, disabled: bool) -> None:
    with answered():
        async with here.audit.within(who, "user.disable" if disabled else "user.enable", email) as act:
            users = here.users.on(act.pool)
            act.target_id = await users.find(email)
            if disabled:
                await _leave_an_admin(users, who, act.target_id)
            await users.set_disabled(email, disabled=disabled)


async def _leave_an_admin(users: Users, who: Actor, user_id: UUID) -> None:
    """Keep the last admin from being shut out, except from the machine, which can always make another one.

    Raises:
        LastAdmin: he is the last one.
    """
    if not who.on_the_machine:
        await users.check_not_last_admin(user_id)


@router.post("/users/{email}/remove")
async def remove(here: Parts, who: Who, email: str) -> dict[str, str]:
    """Shut a user out, destroy his sandbox, forget him: in this order, so that it can be asked for again."""
    with answered():
        user_id = await here.users.find(email)
        async with here.audit.around(who, "user.remove", email, user_id):
            async with transaction(here.pool) as pool:
                await _leave_an_admin(here.users.on(pool), who, user_id)
                await here.users.on(pool).set_disabled(email, disabled=True)
            await _destroy(here, user_id, email)
            await here.users.remove(email)
    return {"email": email}


async def _destroy(here: AdminParts, user_id: UUID, email: str) -> None:
    try:
        await here.lifecycle.delete(user_id)
    except UnknownWorkspace:
        pass  # he never had one
    except (EngineError, LeaseLost) as error:
        text = f"{email} is shut out, but his sandbox still exists: {error} Remove him again to go on."
        raise HTTPException(503, {"error": text, "code": "sandbox_left"}) from error


@router.post("/users/{email}/rotate-key")
async def rotate_key(here: Parts, who: Who, email: str) -> dict[str, str]:
    """Replace a user's virtual key."""
    with answered():
        async with here.audit.within(who, "key.rotate", email) as act:
            users = here.users.on(act.pool)
            act.target_id = await users.find(email)
            await users.rotate_key(email)
    return {"email": email}
