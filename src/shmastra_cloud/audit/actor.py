"""Who does something, and from where."""

from __future__ import annotations

import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from uuid import UUID

Kind = Literal["os", "user", "token", "provider"]


@dataclass(frozen=True)
class Actor:
    """Somebody as the log keeps him: ``name`` is for people, ``id`` a uid or a user's id.

    ``origin`` is a client's address, ``socket`` (the admin's, on the cloud's machine) or ``command line``
    (the database was asked without a running cloud); ``token`` is the name of the token that he used.
    """

    kind: Kind
    name: str
    id: str | None
    origin: str
    token: str | None = None

    @classmethod
    def of_uid(cls, uid: int, origin: str) -> Actor:
        """Return a user of the cloud's machine."""
        return cls("os", _os_name(uid), str(uid), origin)

    @classmethod
    def of_user(cls, user_id: UUID, email: str, origin: str, token: str | None = None) -> Actor:
        """Return a user of the cloud, signed in or with a token of that name."""
        return cls("user" if token is None else "token", email, str(user_id), origin, token)

    @classmethod
    def of_provider(cls, source: str | None = None) -> Actor:
        """Return an identity provider, which tells who is a member."""
        return cls("provider", source or "identity provider", None, source or "identity provider")

    @property
    def on_the_machine(self) -> bool:
        """Whether this is somebody whom the cloud's machine has let in, rather than the cloud."""
        return self.kind == "os"


def _os_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
