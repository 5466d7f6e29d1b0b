"""One attempt to sign in: what binds the provider's answer to the browser that asked, in a sealed cookie."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shmastra_cloud.identity.oidc.errors import BadAttempt

if TYPE_CHECKING:
    from shmastra_cloud.identity.oidc.config import Config

ATTEMPT_SECONDS = 600
COOKIE_CHARACTERS = 4096


@dataclass(frozen=True)
class Attempt:
    """What the provider is given (``state``, ``nonce``, the hash of ``verifier``), and where to go on to."""

    state: str
    nonce: str
    verifier: str
    place: str

    @classmethod
    def new(cls, place: str) -> Attempt:
        """Make one of fresh random values; ``place`` must be a path of ours."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), place)


class Attempts:
    """Seals attempts into cookies, for ten minutes, under a key that every process derives alike."""

    def __init__(self, config: Config, salt: bytes) -> None:
        derived = HKDF(SHA256(), 32, salt, b"shmastra oidc attempt").derive(config.client_secret.encode())
        self._box = Fernet(base64.urlsafe_b64encode(derived))

    def seal(self, attempt: Attempt) -> str:
        """Return a cookie's value."""
        return self._box.encrypt(json.dumps(asdict(attempt)).encode()).decode()

    def open(self, cookie: str | None, state: str | None) -> Attempt:
        """Return the attempt that a browser carries and the provider answers.

        Raises:
            BadAttempt: there is none, it is older than ten minutes, or the answer is for another.
        """
        if not cookie or len(cookie) > COOKIE_CHARACTERS:
            raise BadAttempt("the browser carries no attempt")
        try:
            attempt = Attempt(**json.loads(self._box.decrypt(cookie.encode(), ttl=ATTEMPT_SECONDS)))
        except (InvalidToken, ValueError, TypeError) as error:
            raise BadAttempt("the browser's attempt is too old, or not ours") from error
        if not state or not hmac.compare_digest(state.encode(errors="replace"), attempt.state.encode()):
            raise BadAttempt("the answer is for another attempt")
        return attempt


def attempt_cookie(*, https: bool) -> str:
    """Return the cookie's name; ``__Host-`` binds it to one host under TLS."""
    return "__Host-shmastra_oidc" if https else "shmastra_oidc"
