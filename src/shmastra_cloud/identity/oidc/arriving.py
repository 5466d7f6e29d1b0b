"""From the provider's answer to a user of this cloud: who may come in, and with which session behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmastra_cloud.identity.arrival import Arrival, admit
from shmastra_cloud.identity.oidc.checks import AWAY_SECONDS
from shmastra_cloud.identity.oidc.claims import verified_email
from shmastra_cloud.identity.oidc.errors import NotAMember
from shmastra_cloud.identity.oidc.store import Secret
from shmastra_cloud.identity.sessions import Provided

if TYPE_CHECKING:
    from uuid import UUID

    from shmastra_cloud.identity.oidc.provider import Provider, Tokens
    from shmastra_cloud.identity.oidc.store import ProvidedSessions
    from shmastra_cloud.identity.users import Users

SID_CHARACTERS = 255


async def user_of(provider: Provider, store: ProvidedSessions, users: Users, tokens: Tokens) -> UUID:
    """Return the user that somebody is who has just signed in at the provider.

    Raises:
        NotAMember: he lacks the required claim or, where none is set, was not invited.
        EmailUnverified: the provider does not say that his email is his.
        IdentityError: he is shut out here, or his email is somebody else's.
        OidcError: userinfo, where it is needed, cannot be had or believed.
    """
    config, sub = provider.config, tokens.claims["sub"]
    claims = await provider.claims(tokens, sub, config.needed_claims)
    subject = config.subject(sub)
    if config.required is not None and not config.required.holds(claims):
        raise NotAMember("the required claim is not there")
    email = verified_email(claims, config.email_claim, trusted=config.trust_email)
    if config.required is None and not config.anyone and not await store.is_known(subject, email):
        raise NotAMember("nobody has invited him")
    admin = None if config.admin is None else config.admin.holds(claims)
    return await admit(users, Arrival("oidc", subject, email, admin))


def provided_session(provider: Provider, store: ProvidedSessions, tokens: Tokens) -> Provided:
    """Return what a session of ours keeps: one that can be asked about again, or one that is short."""
    config, sid = provider.config, tokens.claims.get("sid")
    asked = tokens.refresh_token is not None
    secret = Secret(config.issuer, tokens.claims["sub"], tokens.refresh_token, tokens.id_token)
    return Provided(
        source="oidc",
        session=sid if isinstance(sid, str) and 0 < len(sid) <= SID_CHARACTERS else None,
        secret=store.seal(secret),
        check_seconds=config.check_seconds if asked else None,
        life_seconds=AWAY_SECONDS if asked else config.session_seconds,
    )
