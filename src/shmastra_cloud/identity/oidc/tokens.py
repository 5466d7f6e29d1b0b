"""ID tokens and logout tokens, verified: signatures by joserfc, OpenID Connect's claims by Authlib."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from shmastra_cloud.identity.oidc.errors import BadToken, UnknownKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from joserfc.jwk import KeySet

    from shmastra_cloud.identity.oidc.config import Config

LEEWAY_SECONDS = 30
LOGOUT_SECONDS = 600
HEADER_BYTES = 8192
SUB_CHARACTERS = 255
BACKCHANNEL = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TYPES = ("logout+jwt", "application/logout+jwt", "jwt", None)


def read_id_token(  # noqa: PLR0913 -- what it must fit to
    token: object,
    keys: KeySet,
    algorithms: Sequence[str],
    config: Config,
    *,
    nonce: str | None,
    access_token: str | None,
) -> dict[str, Any]:
    """Return the claims of an ID token that is meant for this client (OpenID Connect Core, 3.1.3.7).

    ``nonce`` None is for one that came with a refresh, which need not have it.

    Raises:
        UnknownKey: its key is not among those given.
        BadToken: anything else is wrong with it.
    """
    found = _signed(token, keys, algorithms)
    options = {
        "iss": {"essential": True, "value": config.issuer},
        "aud": {"essential": True, "value": config.client_id},
    }
    params = {"client_id": config.client_id, "nonce": nonce, "access_token": access_token}
    try:
        CodeIDToken(found.claims, found.header, options, params).validate(leeway=LEEWAY_SECONDS)
    except (JoseError, ValueError, TypeError) as error:
        raise BadToken(f"an ID token is refused ({_why(error)})") from error
    sub = found.claims["sub"]
    if not sub or len(sub) > SUB_CHARACTERS:
        raise BadToken("an ID token's sub is empty, or longer than the specification allows")
    return found.claims


def read_logout_token(
    token: object, keys: KeySet, algorithms: Sequence[str], config: Config
) -> dict[str, Any]:
    """Return the claims of a logout token for this client (OpenID Connect Back-Channel Logout 1.0, 2.6).

    Raises:
        UnknownKey: its key is not among those given.
        BadToken: anything else is wrong with it.
    """
    found = _signed(token, keys, algorithms)
    claims, kind = found.claims, found.header.get("typ")
    registry = JWTClaimsRegistry(
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": config.issuer},
        aud={"essential": True, "value": config.client_id},
        iat={"essential": True},
        jti={"essential": True},
    )
    try:
        registry.validate(claims)
    except (JoseError, ValueError, TypeError) as error:
        raise BadToken(f"a logout token is refused ({_why(error)})") from error
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(BACKCHANNEL), dict):
        raise BadToken("a logout token tells no logout")
    if (kind.lower() if isinstance(kind, str) else kind) not in LOGOUT_TYPES or "nonce" in claims:
        raise BadToken("an ID token is no logout token")
    if claims["iat"] < time.time() - LOGOUT_SECONDS:
        raise BadToken("a logout token is too old")
    ids = [claims[name] for name in ("sub", "sid") if name in claims]
    if not ids or not all(isinstance(one, str) and one for one in ids):
        raise BadToken("a logout token names neither a session nor a person")
    return claims


def _signed(token: object, keys: KeySet, algorithms: Sequence[str]) -> jwt.Token:
    if not isinstance(token, str):
        raise BadToken("there is no token")
    registry = JWSRegistry(algorithms=list(algorithms), strict_check_header=False)
    registry.max_header_length = HEADER_BYTES
    try:
        return jwt.decode(token, keys, algorithms=list(algorithms), registry=registry)
    except InvalidKeyIdError as error:
        raise UnknownKey("a token's key is unknown") from error
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadToken(f"a token is refused ({_why(error)})") from error


def _why(error: Exception) -> str:
    """Return what is wrong in words of the library: nothing of the token."""
    return error.error if isinstance(error, JoseError) else type(error).__name__
