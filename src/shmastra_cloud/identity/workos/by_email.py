"""The way in by a code that WorkOS sends to a member's email."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from shmastra_cloud.identity.errors import IdentityError
from shmastra_cloud.identity.workos.answers import OTHER_WAY, refusal, trouble
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
from shmastra_cloud.identity.workos.errors import Away, Refused
from shmastra_cloud.identity.workos.once import begin_code, guess
from shmastra_cloud.identity.workos.parts import Parts, With
from shmastra_cloud.identity.workos.trail import EmailCode
from shmastra_cloud.pages import page
from shmastra_cloud.peers import client_address
from shmastra_cloud.returns import safe_return

if TYPE_CHECKING:
    from shmastra_cloud.web_context import WebContext

router = APIRouter()

CODE_CHARACTERS = 64
EMAIL_CHARACTERS = 320


@router.get("/login/workos/email")
async def ask_email(returnTo: str | None = None) -> Response:  # noqa: N803 -- as in our addresses
    """Ask for the email that a code is to be sent to."""
    return page("sign_in_email.html", place=safe_return(returnTo, WORKSPACE), wrong=None)


@router.post("/login/workos/email")
async def send_code(
    request: Request,
    here: Here,
    its: With,
    email: Annotated[str, Form()] = "",
    place: Annotated[str, Form()] = "",
) -> Response:
    """Have a code sent, if the email is a member's; the answer is the same in any case."""
    email, place = email.strip(), safe_return(place, WORKSPACE)
    if (
        not 3 <= len(email) <= EMAIL_CHARACTERS
        or email.count("@") != 1
        or not email.isprintable()
        or " " in email
    ):
        wrong = "This does not look like an email address."
        return page("sign_in_email.html", status=400, place=place, wrong=wrong)
    address = client_address(request.scope, here.settings.trusted_proxies)
    attempt = await begin_code(here.pool, email, address)
    if attempt is None:
        return trouble(
            429,
            "Too many codes",
            "Codes were asked for too often. Wait ten minutes, or sign in on WorkOS's own page.",
            links=(("Sign in with WorkOS", "/login/workos"),),
            retry=True,
        )
    try:
        known = await its.provider.user_with(email)
    except Away as away:
        return refusal(away)
    if not its.mails.send(_mail(its, email, known)):
        return refusal(Away("Too many codes are being sent."))
    response = RedirectResponse("/login/workos/code", 303)
    return carrying(here, response, its.trails.seal(EmailCode(attempt, email, place)))


@router.get("/login/workos/code")
async def ask_code(request: Request, here: Here, its: With) -> Response:
    """Ask for the code."""
    trail = its.trails.open(carried(request, here), EmailCode)
    if trail is None:
        return RedirectResponse("/login/workos/email", 302)
    return page("sign_in_code.html", email=trail.email, wrong=None)


@router.post("/login/workos/code")
async def take_code(request: Request, here: Here, its: With, code: Annotated[str, Form()] = "") -> Response:
    """Take the code; five tries."""
    trail = its.trails.open(carried(request, here), EmailCode)
    if trail is None:
        return RedirectResponse("/login/workos/email", 303)
    left = await guess(here.pool, trail.attempt)
    if left is None:
        again = (("Ask for a new code", "/login/workos/email"),)
        return forgetting(here, trouble(429, "Too many tries", "This code is used up.", links=again))
    digits = "".join(code.split())[:CODE_CHARACTERS]
    try:
        member = await its.provider.by_email(trail.email, digits, device(request, here))
        return await come_in(request, here, its, member, trail.place)
    except IdentityError as refused:
        return _wrong(here, its, trail, left, refused)


def _wrong(here: WebContext, its: Parts, trail: EmailCode, left: int, refused: IdentityError) -> Response:
    """Let him try again where that may help."""
    if isinstance(refused, Away):
        return refusal(refused)
    if not isinstance(refused, Refused) or refused.code in OTHER_WAY:
        return turned_away(here, its, refused)
    wrong = f"This code is wrong or has expired. {left} {'try is' if left == 1 else 'tries are'} left."
    return page("sign_in_code.html", status=400, email=trail.email, wrong=wrong)


async def _mail(its: Parts, email: str, known: str | None) -> None:
    """Send a code to a member; to anybody else WorkOS would, too, and make him a user."""
    if known is not None and await its.provider.roles(known) is not None:
        await its.provider.send_code(email)
