"""The routes of signing in with the provider: there and back again, and its own word that it is over."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from shmastra_cloud.identity.entry import enter
from shmastra_cloud.identity.errors import IdentityError
from shmastra_cloud.identity.oidc.arriving import provided_session, user_of
from shmastra_cloud.identity.oidc.attempt import ATTEMPT_SECONDS, Attempt, Attempts, attempt_cookie
from shmastra_cloud.identity.oidc.errors import BadAttempt, BadToken, OidcError, ProviderAway, Refused
from shmastra_cloud.identity.oidc.refusals import refusal_for
from shmastra_cloud.identity.oidc.tokens import LOGOUT_SECONDS
from shmastra_cloud.pages import page
from shmastra_cloud.returns import WORKSPACE, safe_return
from shmastra_cloud.web_context import WebContext, context

if TYPE_CHECKING:
    from shmastra_cloud.identity.oidc.provider import Provider
    from shmastra_cloud.identity.oidc.refusals import Refusal
    from shmastra_cloud.identity.oidc.store import ProvidedSessions
    from shmastra_cloud.identity.users import Users

log = logging.getLogger(__name__)

START, BACKCHANNEL = "/login/oidc", "/login/oidc/backchannel"
CODE_CHARACTERS = 4096
router = APIRouter()


@dataclass(frozen=True)
class OidcParts:
    """What the routes need; the way binds it to each request."""

    provider: Provider
    sessions: ProvidedSessions
    users: Users
    attempts: Attempts


def parts(request: Request) -> OidcParts:
    """Return the parts; a FastAPI dependency."""
    return cast("OidcParts", request.state.oidc)


Here = Annotated[WebContext, Depends(context)]
Parts = Annotated[OidcParts, Depends(parts)]


@router.get("/login/oidc")
async def start(
    here: Here,
    oidc: Parts,
    returnTo: str | None = None,  # noqa: N803 -- as in our addresses
    other: Literal["1"] | None = None,
) -> Response:
    """Send a browser to the provider, with a new attempt in its cookie."""
    attempt = Attempt.new(safe_return(returnTo, WORKSPACE))
    try:
        url = await oidc.provider.authorization_url(attempt, other=other is not None)
    except OidcError as error:
        return _refuse(oidc, error)
    response = RedirectResponse(url, 303, {"cache-control": "no-store"})
    https = here.settings.https
    response.set_cookie(
        attempt_cookie(https=https),
        oidc.attempts.seal(attempt),
        max_age=ATTEMPT_SECONDS,
        httponly=True,
        samesite="lax",
        secure=https,
        path="/",
    )
    return response


@router.get("/login/oidc/callback")
async def callback(request: Request, here: Here, oidc: Parts) -> Response:
    """Take the provider's answer; somebody who belongs here gets a session."""
    try:
        response = await _come_in(request, here, oidc)
    except (OidcError, IdentityError) as error:
        log.info("a sign-in is refused: %s (%s)", type(error).__name__, error)
        response = _refuse(oidc, error)
    https = here.settings.https
    response.delete_cookie(attempt_cookie(https=https), path="/", secure=https, httponly=True, samesite="lax")
    return response


async def _come_in(request: Request, here: WebContext, oidc: OidcParts) -> Response:
    answer = _answer(request)
    cookie = request.cookies.get(attempt_cookie(https=here.settings.https))
    attempt = oidc.attempts.open(cookie, answer.get("state"))
    if not await oidc.sessions.spend(f"state {attempt.state}", 2 * ATTEMPT_SECONDS):
        raise BadAttempt("the answer came twice")
    metadata = await oidc.provider.discovery.metadata()
    told = answer.get("iss")
    if told != oidc.provider.config.issuer and (told is not None or metadata.tells_issuer):
        raise BadAttempt("the answer is another provider's")  # RFC 9207, 2.4
    if "error" in answer:
        raise Refused(answer["error"])
    code = answer.get("code")
    if not code or len(code) > CODE_CHARACTERS:
        raise BadAttempt("the answer holds no code")
    tokens = await oidc.provider.redeem(code, attempt)
    user_id = await user_of(oidc.provider, oidc.sessions, oidc.users, tokens)
    provided = provided_session(oidc.provider, oidc.sessions, tokens)
    return await enter(request, here, user_id, attempt.place, provided)


def _answer(request: Request) -> dict[str, str]:
    """Return the query's parameters; one that is there twice could be read in two ways."""
    pairs = request.query_params.multi_items()
    answer = dict(pairs)
    if len(answer) != len(pairs):
        raise BadAttempt("the answer says something twice")
    return answer


@router.post("/login/oidc/backchannel")
async def backchannel(request: Request, oidc: Parts) -> Response:
    """End the sessions that the provider says are over; the one change that no page of ours asks for."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=20)
    given = fields.get("logout_token", [])
    try:
        claims = await _told(oidc, given[0] if len(given) == 1 else None)
    except BadToken as error:
        log.warning("a back-channel logout is refused: %s", error)
        return _no_store(
            {"error": "invalid_request", "error_description": "The logout token is refused."}, 400
        )
    except OidcError as error:
        log.warning("a back-channel logout cannot be verified: %s", error)
        return _no_store({"error": "temporarily_unavailable"}, 503)
    sub = claims.get("sub")
    subject = None if sub is None else oidc.provider.config.subject(sub)
    ended = await oidc.sessions.end_at_provider(subject, claims.get("sid"))
    log.info("the OpenID provider has ended %d session(s)", ended)
    return Response(status_code=200, headers={"cache-control": "no-store"})


async def _told(oidc: OidcParts, token: str | None) -> dict[str, Any]:
    claims = await oidc.provider.logout_claims(token)
    if not await oidc.sessions.spend(f"jti {claims['jti']}", 3 * LOGOUT_SECONDS):
        raise BadToken("a logout token came twice")
    return claims


@router.get("/login/oidc/out")
async def out(oidc: Parts, hint: str | None = None) -> Response:
    """Lead a browser that is signed out here on to the provider's own sign-out.

    A page in between, since browsers forbid a form to lead to another origin by a redirect (CSP form-action).
    """
    try:
        url = await oidc.provider.sign_out_url(hint)
    except (OidcError, ProviderAway):
        url = None
    if url is None:
        return RedirectResponse("/", 303)
    return page("oidc_out.html", url=url, provider=oidc.provider.config.name)


def _refuse(oidc: OidcParts, error: Exception) -> Response:
    return _show(oidc, refusal_for(error, oidc.provider.config))


def _show(oidc: OidcParts, refusal: Refusal) -> Response:
    name = oidc.provider.config.name
    return page("oidc_refused.html", status=refusal.status, refusal=refusal, provider=name, again=START)


def _no_store(body: dict[str, str], status: int) -> Response:
    return JSONResponse(body, status, {"cache-control": "no-store"})
