"""The last step of every way in through WorkOS, and what a browser carries on the way there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlencode

from fastapi import Depends

from shmastra_cloud.identity.arrival import Arrival, admit
from shmastra_cloud.identity.entry import enter
from shmastra_cloud.identity.sessions import Device, Provided
from shmastra_cloud.identity.workos.answers import refusal
from shmastra_cloud.identity.workos.checking import CHECK_SECONDS, PURPOSE_SECRET
from shmastra_cloud.identity.workos.errors import NotMember
from shmastra_cloud.identity.workos.trail import TRAIL_SECONDS, Leaving
from shmastra_cloud.peers import client_address
from shmastra_cloud.web_context import WebContext, context

if TYPE_CHECKING:
    from fastapi import Request, Response

    from shmastra_cloud.identity.errors import IdentityError
    from shmastra_cloud.identity.workos.parts import Parts
    from shmastra_cloud.identity.workos.provider import Member

Here = Annotated[WebContext, Depends(context)]
WORKSPACE = "/workspace"


async def come_in(request: Request, here: WebContext, its: Parts, member: Member, place: str) -> Response:
    """Let a member in: as the user that he is here, with a session that WorkOS's own stands behind.

    Raises:
        ShutOut: an admin of this cloud has disabled him.
        EmailTaken: his email belongs to another user.
    """
    arrival = Arrival("workos", member.id, member.email, its.members.is_admin(member.roles))
    user_id = await admit(its.users, arrival)
    secret = its.vault.seal(member.sealed, PURPOSE_SECRET)
    provided = Provided("workos", member.session, secret, CHECK_SECONDS)
    return forgetting(here, await enter(request, here, user_id, place, provided))


def turned_away(here: WebContext, its: Parts, refused: IdentityError) -> Response:
    """Return the page for somebody who may not come in."""
    elsewhere = goodbye(its, refused.session) if isinstance(refused, NotMember) else None
    return forgetting(here, refusal(refused, elsewhere))


def goodbye(its: Parts, session: str) -> str:
    """Return the path of ours that ends a session at WorkOS."""
    return f"/login/workos/bye?{urlencode({'to': its.trails.seal(Leaving(session))})}"


def device(request: Request, here: WebContext) -> Device:
    """Return where a browser is, as it or a trusted proxy says."""
    address = client_address(request.scope, here.settings.trusted_proxies)
    return Device(address, request.headers.get("user-agent"))


def carried(request: Request, here: WebContext) -> str | None:
    """Return what the browser carries."""
    return request.cookies.get(_cookie(here))


def carrying(here: WebContext, response: Response, sealed: str) -> Response:
    """Have the browser carry something to the next step."""
    response.set_cookie(
        _cookie(here),
        sealed,
        max_age=TRAIL_SECONDS,
        httponly=True,
        samesite="lax",  # WorkOS sends the browser back by a plain link
        secure=here.settings.https,
        path="/",
    )
    return response


def forgetting(here: WebContext, response: Response) -> Response:
    """Take from the browser what it carried."""
    response.delete_cookie(_cookie(here), path="/", secure=here.settings.https, httponly=True, samesite="lax")
    return response


def _cookie(here: WebContext) -> Literal["__Host-shmastra_sign_in", "shmastra_sign_in"]:
    return "__Host-shmastra_sign_in" if here.settings.https else "shmastra_sign_in"
