"""Signing in and out."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from shmastra_cloud.identity.devices import shown
from shmastra_cloud.identity.entry import enter
from shmastra_cloud.identity.errors import LinkSpent
from shmastra_cloud.identity.links import hash_token, link_is_good, spend_link
from shmastra_cloud.identity.sessions import Provided, User, cookie_name
from shmastra_cloud.pages import page
from shmastra_cloud.peers import client_address
from shmastra_cloud.returns import WORKSPACE, kept_return, safe_return
from shmastra_cloud.web_context import (
    WebContext,
    context,
    signed_in,
    to_sign_in,
    token_of,
    visitor,
)

router = APIRouter()

EMAIL_CHARACTERS = 320
Here = Annotated[WebContext, Depends(context)]


@router.get("/")
async def landing(
    request: Request,
    here: Here,
    user: Annotated[User | None, Depends(visitor)],
    returnTo: str | None = None,  # noqa: N803
) -> Response:
    """Show the sign-in page, or go on to the workspace, or to where somebody wanted to go."""
    if user is not None:
        return RedirectResponse(safe_return(returnTo, WORKSPACE), 302)
    kept = kept_return(request.cookies, https=here.settings.https)
    return page("sign_in.html", ways=here.ways, mail=here.post is not None, place=safe_return(returnTo, kept))


@router.post("/login/mail")
async def mail_link(
    request: Request, here: Here, email: Annotated[str, Form(max_length=EMAIL_CHARACTERS)]
) -> Response:
    """Have a link mailed to whoever is a user; the answer is the same for everybody, and given at once.

    Whoever asks counts as one who has failed to sign in, so that an address does not ask for too many.
    """
    if here.post is None:
        raise HTTPException(404, {"error": "This cloud sends no mail.", "code": "not_found"})
    await here.attempts.failed(client_address(request.scope, here.settings.trusted_proxies))
    here.post.ask(email)
    return page("mailed.html", status=202)


@router.get("/login/link/{token}")
async def show_link(token: str, here: Here) -> Response:
    """Show the button; a mail scanner that follows the link does not use it up."""
    good = await link_is_good(here.pool, token, only_admins=here.settings.sign_in != "local")
    return page("link.html", status=200 if good else 410, good=good)


@router.post("/login/link/{token}")
async def use_link(request: Request, token: str, here: Here) -> Response:
    """Use the link up, start a session, and go on to where its user wanted to go before."""
    try:
        user_id = await spend_link(here.pool, token, only_admins=here.settings.sign_in != "local")
    except LinkSpent:
        return page("link.html", status=410, good=False)
    kept = kept_return(request.cookies, https=here.settings.https)
    return await enter(request, here, user_id, kept or WORKSPACE)


@router.post("/logout")
async def logout(
    request: Request,
    here: Here,
    user: Annotated[User, Depends(signed_in)],
    everywhere: bool = False,
) -> Response:
    """End the session, or with ``?everywhere=1`` all of the user's.

    Where an identity provider is behind it, go on to end that one, too.
    """
    name = cookie_name(https=here.settings.https)
    ended = await here.sessions.end(token_of(request) or "")
    if everywhere:
        await here.sessions.end_all(user.id)
    response = RedirectResponse(_goodbye(here, ended) or "/", 303)
    response.delete_cookie(name, path="/", secure=here.settings.https, httponly=True, samesite="lax")
    return response


def _goodbye(here: WebContext, ended: Provided | None) -> str | None:
    if ended is None:
        return None
    return next((way.goodbye(ended) for way in here.ways if way.goodbye and way.source == ended.source), None)


@router.get("/sessions")
async def sessions_page(
    request: Request, here: Here, user: Annotated[User | None, Depends(visitor)]
) -> Response:
    """Show a user where he is signed in, since when, and how."""
    if user is None:
        return to_sign_in(request)
    own = hash_token(token_of(request) or "")
    rows = await here.sessions.of(user.id)
    return page("sessions.html", email=user.email, sessions=[shown(row, own) for row in rows])


@router.post("/sessions/{session_id}/end")
async def end_session(session_id: UUID, here: Here, user: Annotated[User, Depends(signed_in)]) -> Response:
    """End one of the user's own sessions; what it has open is cut."""
    await here.sessions.end_one(user.id, session_id)
    return RedirectResponse("/sessions", 303)


@router.get("/api/me")
async def me(user: Annotated[User, Depends(signed_in)]) -> Response:
    """Tell who is signed in."""
    return JSONResponse({"id": str(user.id), "email": user.email, "role": user.role})
