"""Users and their keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, HTTPException
from pydantic import AfterValidator, BaseModel, Field

from shmastra_cloud.admin.parts import Parts, Who, answered
from shmastra_cloud.database import transaction
from shmastra_cloud.identity import make_link
from shmastra_cloud.mail import MailError, send, sign_in_mail
from shmastra_cloud.mail import invitation as invitation_mail
from shmastra_cloud.workspaces import EngineError, LeaseLost, UnknownWorkspace

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable
    from email.message import EmailMessage
    from uuid import UUID

    from shmastra_cloud.admin.parts import AdminParts
    from shmastra_cloud.audit import Actor
    from shmastra_cloud.database import Pool
    from shmastra_cloud.identity import Users
    from shmastra_cloud.smtp_server import SmtpServer

    Mail = Callable[[SmtpServer, str, str, dt.datetime | None], EmailMessage]

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
    mail: bool = True


class Wanted(BaseModel):
    """Whether a link is mailed too, where mail is configured."""

    mail: bool = True


class Role(BaseModel):
    """What somebody is to be."""

    role: Literal["member", "admin"]


@router.get("/users")
async def list_users(here: Parts) -> list[dict[str, Any]]:
    """Return every user."""
    return [dict(row) for row in await here.users.all()]


@router.post("/users")
async def invite(here: Parts, who: Who, invitation: Invitation) -> dict[str, Any]:
    """Invite a user and return a one-time link, or with an identity provider the cloud's address."""
    email, url, expires_at = invitation.email.strip().lower(), here.settings.public_url, None
    async with here.audit.within(who, "user.invite", email, admin=invitation.admin) as act:
        act.target_id = user_id = await here.users.on(act.pool).invite(email, admin=invitation.admin)
        if here.settings.sign_in == "local":
            url, expires_at = await _make_link(here, act.pool, user_id)
    mailed = await _mail(here, invitation.mail, invitation_mail, email, url, expires_at)
    return {"email": email, "url": url, "expires_at": expires_at and expires_at.isoformat(), **mailed}


@router.post("/users/{email}/link")
async def link(here: Parts, who: Who, email: str, wanted: Wanted | None = None) -> dict[str, Any]:
    """Return a one-time link for a user; with an identity provider for an admin, and on the machine only."""
    email = email.strip().lower()
    with answered():
        async with here.audit.within(who, "user.link", email) as act:
            users = here.users.on(act.pool)
            act.target_id = user_id = await users.find(email)
            if here.settings.sign_in != "local":
                await _check_emergency(users, who, user_id, here.settings.sign_in)
            url, expires_at = await _make_link(here, act.pool, user_id)
    mail = (wanted or Wanted()).mail and here.settings.sign_in == "local"
    mailed = await _mail(here, mail, sign_in_mail, email, url, expires_at)
    return {"email": email, "url": url, "expires_at": expires_at.isoformat(), **mailed}


async def _make_link(here: AdminParts, pool: Pool, user_id: UUID) -> tuple[str, dt.datetime]:
    token, expires_at = await make_link(pool, user_id)
    return f"{here.settings.public_url}/login/link/{token}", expires_at


async def _check_emergency(users: Users, who: Actor, user_id: UUID, sign_in: str) -> None:
    """Refuse a way around the identity provider, except on the machine and for an admin."""
    if not (who.on_the_machine and await users.is_admin(user_id)):
        text = (
            f"Users sign in with {sign_in}. A one-time link lets an admin in when that fails, and is made on "
            "the cloud's machine only."
        )
        raise HTTPException(409, {"error": text, "code": "sign_in_elsewhere"})


async def _mail(  # noqa: PLR0913, PLR0917 -- a mail has this many parts
    here: AdminParts, wanted: bool, make: Mail, email: str, url: str, expires_at: dt.datetime | None
) -> dict[str, Any]:
    """Mail a link where that is wanted and possible, and return what to tell of it."""
    server = here.settings.smtp
    if server is None or not wanted:
        return {}
    try:
        await send(server, make(server, email, url, expires_at))
    except MailError as error:
        return {"mailed": False, "mail_error": str(error)}
    return {"mailed": True}


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
