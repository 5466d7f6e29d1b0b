"""The way in through WorkOS's own page and back, and the way out."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from shmastra_cloud.identity.errors import IdentityError
from shmastra_cloud.identity.workos.answers import refusal, trouble
from shmastra_cloud.identity.workos.entering import (
    WORKSPACE,
    Here,
    carried,
    carrying,
    come_in,
    device,
    forgetting,
    turned_away,
)
from shmastra_cloud.identity.workos.errors import Refused
from shmastra_cloud.identity.workos.once import use
from shmastra_cloud.identity.workos.parts import With
from shmastra_cloud.identity.workos.trail import Leaving, Redirect
from shmastra_cloud.pages import page
from shmastra_cloud.returns import safe_return

if TYPE_CHECKING:
    from shmastra_cloud.web_context import WebContext

log = logging.getLogger(__name__)

router = APIRouter()

CODE_CHARACTERS = 1024


@router.get("/login/workos")
async def start(here: Here, its: With, returnTo: str | None = None) -> Response:  # noqa: N803 -- as in our addresses
    """Send the browser to WorkOS."""
    url, state, verifier = its.provider.authorization_url(_callback(here))
    response = RedirectResponse(url, 302, {"cache-control": "no-store"})
    place = safe_return(returnTo, WORKSPACE)
    return carrying(here, response, its.trails.seal(Redirect(state, verifier, place)))


@router.get("/login/workos/callback")
async def callback(request: Request, here: Here, its: With, code: str = "", state: str = "") -> Response:
    """Take the browser back, with a code that only this browser can use, once."""
    trail = its.trails.open(carried(request, here), Redirect)
    if trail is None or not secrets.compare_digest(trail.state.encode(), state.encode(errors="replace")):
        return trouble(
            400,
            "This sign-in cannot be finished",
            "It was begun in another browser or tab, or took longer than ten minutes. Start it again.",
        )
    if not await use(here.pool, f"state:{trail.state}"):
        return forgetting(here, refusal(Refused("The state was used.")))
    if not code or len(code) > CODE_CHARACTERS:
        error = "".join(filter(str.isidentifier, request.query_params.get("error", "")[:40]))
        log.info("WorkOS sent somebody back without a code (%s)", error)
        text = "WorkOS did not sign you in: it was cancelled there, or you may not come in."
        return forgetting(here, trouble(403, "You were not signed in", text))
    try:
        member = await its.provider.by_code(code, trail.verifier, device(request, here))
        return await come_in(request, here, its, member, trail.place)
    except IdentityError as refused:
        return turned_away(here, its, refused)


@router.get("/login/workos/bye")
async def leave(here: Here, its: With, to: str = "") -> Response:
    """Take the browser to WorkOS, so that its session there ends as well, and back.

    A page and not a redirect: the form that signs out may lead to our own origin only, redirects included.
    """
    trail = its.trails.open(to, Leaving)
    if trail is None:
        return RedirectResponse("/", 302)
    return page("sign_out.html", url=its.provider.logout_url(trail.session, f"{here.settings.public_url}/"))


def _callback(here: WebContext) -> str:
    return f"{here.settings.public_url}/login/workos/callback"
