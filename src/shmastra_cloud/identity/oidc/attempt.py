"""One attempt to sign in: what binds the provider's answer to the browser that asked, in a sealed cookie."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from shmastra_cloud.identity.oidc.errors import BadAttempt
from shmastra_cloud.secrets_at_rest import MasterKeyError

if TYPE_CHECKING:
    from shmastra_cloud.secrets_at_rest import Vault

PURPOSE_ATTEMPT = "oidc_attempt"
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
    """Seals attempts into cookies, which any process with the master key opens, for ten minutes."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def seal(self, attempt: Attempt) -> str:
        """Return a cookie's value."""
        text = json.dumps({"until": time.time() + ATTEMPT_SECONDS, "attempt": asdict(attempt)})
        return base64.urlsafe_b64encode(self._vault.seal(text, PURPOSE_ATTEMPT)).decode()

    def open(self, cookie: str | None, state: str | None) -> Attempt:
        """Return the attempt that a browser carries and the provider answers.

        Raises:
            BadAttempt: there is none, it is older than ten minutes, or the answer is for another.
        """
        if not cookie or len(cookie) > COOKIE_CHARACTERS:
            raise BadAttempt("the browser carries no attempt")
        try:
            kept = json.loads(self._vault.open(base64.urlsafe_b64decode(cookie), PURPOSE_ATTEMPT))
            attempt, until = Attempt(**kept["attempt"]), float(kept["until"])
        except (MasterKeyError, ValueError, TypeError, KeyError) as error:
            raise BadAttempt("the browser's attempt is not ours") from error
        if time.time() > until:
            raise BadAttempt("the browser's attempt is too old")
        if not state or not hmac.compare_digest(state.encode(errors="replace"), attempt.state.encode()):
            raise BadAttempt("the answer is for another attempt")
        return attempt


def attempt_cookie(*, https: bool) -> str:
    """Return the cookie's name; ``__Host-`` binds it to one host under TLS."""
    return "__Host-shmastra_oidc" if https else "shmastra_oidc"
