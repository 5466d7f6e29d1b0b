"""Signing in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from shmastra_cloud.identity.entry import enter
from shmastra_cloud.identity.errors import LinkSpent
from shmastra_cloud.identity.links import link_is_good, spend_link
from shmastra_cloud.identity.sessions import Provided, User, cookie_name
from shmastra_cloud.pages import page
from shmastra_cloud.returns import safe_return
from shmastra_cloud.web_context import WebContext, context, signed_in, token_of, visitor

router = APIRouter()

EMAIL_CHARACTERS = 320
Here = Annotated[WebContext, Depends(context)]


@router.get("/")
async def landing(
    here: Here,
    user: Annotated[User | None, Depends(visitor)],
    returnTo: str | None = None,  # noqa: N803 -- as in our addresses
) -> Response:
    """Show the sign-in page, or go on to the workspace."""
    if user is not None:
        return RedirectResponse("/workspace", 302)
    return page("sign_in.html", ways=here.ways, mail=here.post is not None, place=safe_return(returnTo, ""))


@router.post("/login/mail")
async def mail_link(here: Here, email: Annotated[str, Form(max_length=EMAIL_CHARACTERS)]) -> Response:
    """Have a link mailed to whoever is a user; the answer is the same for everybody, and given at once."""
    if here.post is None:
        raise HTTPException(404, {"error": "This cloud sends no mail.", "code": "not_found"})
    here.post.ask(email)
    return page("mailed.html", status=202)


@router.get("/login/link/{token}")
async def show_link(token: str, here: Here) -> Response:
    """Show the button; a mail scanner that follows the link does not use it up."""
    good = await link_is_good(here.pool, token, only_admins=here.settings.sign_in != "local")
    return page("link.html", status=200 if good else 410, good=good)


@router.post("/login/link/{token}")
async def use_link(request: Request, token: str, here: Here) -> Response:
    """Use the link up and start a session."""
    try:
        user_id = await spend_link(here.pool, token, only_admins=here.settings.sign_in != "local")
    except LinkSpent:
        return page("link.html", status=410, good=False)
    return await enter(request, here, user_id, "/workspace")


@router.post("/logout")
async def logout(request: Request, here: Here, _user: Annotated[User, Depends(signed_in)]) -> Response:
    """End the session; where an identity provider is behind it, go on to end that one, too."""
    name = cookie_name(https=here.settings.https)
    ended = await here.sessions.end(token_of(request) or "")
    response = RedirectResponse(_goodbye(here, ended) or "/", 303)
    response.delete_cookie(name, path="/", secure=here.settings.https, httponly=True, samesite="lax")
    return response


def _goodbye(here: WebContext, ended: Provided | None) -> str | None:
    if ended is None or ended.session is None:
        return None
    return next(
        (way.goodbye(ended.session) for way in here.ways if way.goodbye and way.source == ended.source), None
    )


@router.get("/api/me")
async def me(user: Annotated[User, Depends(signed_in)]) -> Response:
    """Tell who is signed in."""
    return JSONResponse({"id": str(user.id), "email": user.email, "role": user.role})
