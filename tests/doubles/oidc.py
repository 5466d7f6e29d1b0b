"""An OpenID provider that lies: it says whatever a test puts into its answers.

Shapes: OpenID Connect Core 1.0, Discovery 1.0 and Back-Channel Logout 1.0.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from authlib.oidc.core.util import create_half_hash
from joserfc import jwt
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry
from tests.support.serving import served

from shmastra_cloud.identity.oidc.config import Config
from shmastra_cloud.identity.oidc.tokens import BACKCHANNEL

CLIENT_ID, CLIENT_SECRET = "client", "secret"
KEY = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"})
OTHER = RSAKey.generate_key(2048, {"kid": "k2", "use": "sig"})
ALGORITHMS = ["none", "HS256", "RS256"]


class LyingProvider:
    """``answers`` holds what it says by path: an object, bytes, or a status; ``seconds`` makes it slow."""

    def __init__(self) -> None:
        self.issuer = ""
        self.answers: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.seconds = 0.0
        self.asked: list[str] = []

    def config(self, **more: Any) -> Config:
        return Config(self.issuer, CLIENT_ID, CLIENT_SECRET, "http://127.0.0.1:1", "Liar", **more)

    def metadata(self, **changed: Any) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/me",
            "id_token_signing_alg_values_supported": ALGORITHMS,
            "scopes_supported": ["openid", "offline_access"],
            **changed,
        }

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(time.time())
        told = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "ann",
            "iat": now,
            "exp": now + 300,
            "email": "ann@example.com",
            "email_verified": True,
            "groups": ["team"],
            **changed,
        }
        return {name: value for name, value in told.items() if value is not ...}

    def logout_claims(self, **changed: Any) -> dict[str, Any]:
        gone = dict.fromkeys(("email", "email_verified", "groups"), ...)
        return self.claims(**{**gone, "jti": f"j{time.time()}", "events": {BACKCHANNEL: {}}, **changed})

    def tokens(self, id_token: str | None = None, **changed: Any) -> None:
        """Give these tokens from now on."""
        told = {"access_token": "at", "token_type": "Bearer", "refresh_token": "rt", "id_token": id_token}
        self.answers["/token"] = {
            key: value for key, value in {**told, **changed}.items() if value is not None
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        self.asked.append(path)
        await asyncio.sleep(self.seconds)
        answer = self.answers.get(path, 404)
        status = answer if isinstance(answer, int) else 200
        body = (
            answer
            if isinstance(answer, bytes)
            else b""
            if isinstance(answer, int)
            else json.dumps(answer).encode()
        )
        if isinstance(answer, dict) and "error" in answer:
            status = 400
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def signed(claims: dict[str, Any], key: Any = KEY, alg: str = "RS256", **header: Any) -> str:
    """Sign claims; by default as an honest provider does."""
    told = {"alg": alg, "kid": key.kid, **header}
    lax = JWSRegistry(algorithms=[alg], strict_check_header=False)
    return jwt.encode({k: v for k, v in told.items() if v is not ...}, claims, key, registry=lax)


def unsigned(claims: dict[str, Any]) -> str:
    """Make a token by the algorithm ``none``."""
    parts = ({"alg": "none", "kid": "k1"}, claims)
    return ".".join([*(_packed(json.dumps(part).encode()) for part in parts), ""])


def signed_with_the_public_key(claims: dict[str, Any]) -> str:
    """Make an HS256 token whose key is what everybody can read."""
    text = ".".join(_packed(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "k1"}, claims))
    return f"{text}.{_packed(hmac.digest(KEY.as_pem(private=False), text.encode(), 'sha256'))}"


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def half_hash(access_token: str) -> str:
    return str(create_half_hash(access_token, "RS256").decode())


@contextmanager
def lying_provider() -> Iterator[LyingProvider]:
    """Give one that is still honest."""
    liar = LyingProvider()
    with served(liar) as here:
        liar.issuer = here.url
        liar.answers = {
            "/.well-known/openid-configuration": liar.metadata(),
            "/jwks": {"keys": [KEY.as_dict(private=False)]},
            "/me": {"sub": "ann"},
        }
        yield liar
