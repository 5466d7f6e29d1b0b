"""Where a command line asks for a token, and the page on which an admin says yes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field

from shmastra_cloud.api_tokens.errors import LoginExpired, TokenError, TooManyLogins, UnknownToken
from shmastra_cloud.api_tokens.logins import INTERVAL_SECONDS, LIFE_SECONDS
from shmastra_cloud.audit import Actor, AuditLog
from shmastra_cloud.identity import User
from shmastra_cloud.pages import page
from shmastra_cloud.peers import client_address
from shmastra_cloud.web_context import WebContext, administrator, context, to_sign_in, visitor

if TYPE_CHECKING:
    from shmastra_cloud.api_tokens.logins import Logins
    from shmastra_cloud.api_tokens.tokens import Tokens

router = APIRouter()

PAGE = "/manage/login"
BEGIN, POLL = "/api/login/device", "/api/login/token"
MAX_DAYS, DAYS = 365, 90
Code = Annotated[str, Form(max_length=64)]


@dataclass(frozen=True)
class TokenParts:
    """What the routes need."""

    tokens: Tokens
    logins: Logins


def _parts(request: Request) -> TokenParts:
    return cast("TokenParts", request.app.state.api_tokens)


Parts = Annotated[TokenParts, Depends(_parts)]
Here = Annotated[WebContext, Depends(context)]
Admin = Annotated[User, Depends(administrator)]


class Begin(BaseModel):
    """What a command line calls itself, and for how many days it asks."""

    name: str = Field(pattern=r"^[\w .@:()+-]{1,64}$")
    days: int = Field(DAYS, ge=1, le=MAX_DAYS)


class Poll(BaseModel):
    """What a command line keeps of its log-in."""

    device_code: str = Field(max_length=128)


@router.post("/api/login/device")
async def begin(request: Request, parts: Parts, here: Here, asked: Begin) -> dict[str, Any]:
    """Begin a log-in of a command line (RFC 8628, 3.2)."""
    try:
        login = await parts.logins.begin(asked.name, _address(request, here), asked.days)
    except TooManyLogins as error:
        raise HTTPException(429, {"error": str(error), "code": error.code}, {"retry-after": "600"}) from error
    return {
        "device_code": login.device_code,
        "user_code": login.user_code,
        "verification_uri": here.settings.public_url + PAGE,
        "expires_in": LIFE_SECONDS,
        "interval": INTERVAL_SECONDS,
    }


@router.post("/api/login/token")
async def poll(request: Request, parts: Parts, here: Here, asked: Poll) -> dict[str, Any]:
    """Give out the token of a log-in that an admin has allowed, or say why not (yet) (RFC 8628, 3.5)."""
    try:
        made, email = await parts.logins.poll(asked.device_code, _address(request, here))
    except TokenError as error:
        raise HTTPException(400, {"error": str(error), "code": error.code}) from error
    return {
        "access_token": made.token,
        "token_type": "Bearer",
        "id": str(made.id),
        "name": made.name,
        "email": email,
        "expires_at": made.expires_at.isoformat(),
    }


@router.get("/manage/login")
async def show(
    request: Request, parts: Parts, here: Here, user: Annotated[User | None, Depends(visitor)]
) -> Response:
    """Ask an admin for a code, and show him his tokens."""
    if user is None:
        return to_sign_in(request)
    if user.role != "admin":
        raise HTTPException(404, {"error": "There is nothing here.", "code": "not_found"})
    return await _page(parts, here, user)


@router.post("/manage/login")
async def look(parts: Parts, here: Here, user: Admin, code: Code) -> Response:
    """Show which command line waits under a code, and ask whether it may act for the admin."""
    try:
        waiting = await parts.logins.waiting(code)
    except LoginExpired as error:
        return await _page(parts, here, user, said=str(error), status=404)
    return page("login_confirm.html", user=user, waiting=waiting, code=code)


@router.post("/manage/login/decide")
async def decide(  # noqa: PLR0913, PLR0917 -- who asks, and what of the form
    request: Request,
    parts: Parts,
    here: Here,
    user: Admin,
    code: Code,
    answer: Annotated[Literal["allow", "refuse"], Form()],
) -> Response:
    """Let a command line act for the admin, or not."""
    actor = Actor.of_user(user.id, user.email, _address(request, here))
    try:
        waiting = await parts.logins.decide(code, actor, user.id, allow=answer == "allow")
    except LoginExpired as error:
        return await _page(parts, here, user, said=str(error), status=404)
    told = "is logged in" if answer == "allow" else "was refused"
    return await _page(parts, here, user, done=f"{waiting.name} {told}. You can close this page.")


@router.post("/manage/login/revoke")
async def revoke(
    request: Request, parts: Parts, here: Here, user: Admin, token: Annotated[UUID, Form()]
) -> Response:
    """End one of the admin's own tokens."""
    actor = Actor.of_user(user.id, user.email, _address(request, here))
    try:
        async with AuditLog(here.pool).within(actor, "token.revoke") as act:
            act.target_id = token
            _, act.target = await parts.tokens.on(act.pool).revoke(token, user.id)
    except UnknownToken:
        pass  # it is gone, which is what was asked for
    return RedirectResponse(PAGE, 303)


async def _page(  # noqa: PLR0913 -- a page has this much to say
    parts: TokenParts, here: WebContext, user: User, *, said: str = "", done: str = "", status: int = 200
) -> Response:
    tokens = await parts.tokens.all(user.id)
    return page(
        "login.html",
        status=status,
        user=user,
        tokens=tokens,
        said=said,
        done=done,
        url=here.settings.public_url,
    )


def _address(request: Request, here: WebContext) -> str:
    return client_address(request.scope, here.settings.trusted_proxies)
