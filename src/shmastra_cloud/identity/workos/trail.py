"""What a browser carries between two steps of signing in: a sealed, short-lived cookie."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

from cryptography.fernet import Fernet, InvalidToken

from shmastra_cloud.identity.workos.provider import sealing_key

TRAIL_SECONDS = 600  # as long as WorkOS's codes are good
TRAIL_CHARACTERS = 4000


@dataclass(frozen=True)
class Redirect:
    """A browser that was sent to WorkOS: what it must come back with, and where it goes on to."""

    state: str
    verifier: str
    place: str
    step: Literal["redirect"] = "redirect"


@dataclass(frozen=True)
class EmailCode:
    """A browser that was asked for a code: which attempt this is, whose email, where it goes on to."""

    attempt: str
    email: str
    place: str
    step: Literal["code"] = "code"


@dataclass(frozen=True)
class Leaving:
    """A browser whose session at WorkOS is to end, too."""

    session: str
    step: Literal["leaving"] = "leaving"


Trail = TypeVar("Trail", Redirect, EmailCode, Leaving)


class Trails:
    """Seals what a browser carries, so that it can neither read nor make it (Fernet: AES and HMAC)."""

    def __init__(self, password: str) -> None:
        self._fernet = Fernet(sealing_key(password, b"trail"))

    def seal(self, trail: Redirect | EmailCode | Leaving) -> str:
        """Return what the browser is given."""
        return self._fernet.encrypt(json.dumps(asdict(trail)).encode()).decode()

    def open(self, sealed: str | None, kind: type[Trail]) -> Trail | None:
        """Return what we sealed for that step within the last ten minutes, else None."""
        if not sealed or len(sealed) > TRAIL_CHARACTERS:
            return None
        try:
            held: dict[str, Any] = json.loads(self._fernet.decrypt(sealed.encode(), ttl=TRAIL_SECONDS))
        except (InvalidToken, UnicodeEncodeError):
            return None
        return kind(**held) if held.get("step") == kind.step else None


def fingerprint(text: str) -> bytes:
    """Return what something is stored as that is only ever compared."""
    return hashlib.sha256(text.encode(errors="replace")).digest()
