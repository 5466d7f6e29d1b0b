"""What an event of WorkOS is about; pure. An event says whom to look at, WorkOS is then asked how he is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


DELETED = "organization_membership.deleted"
MEMBERSHIPS = ("organization_membership.created", "organization_membership.updated", DELETED)


@dataclass(frozen=True)
class News:
    """Whom to look at, which session has ended; ``gone`` if the event itself says that he is out."""

    user: str | None = None
    session: str | None = None
    gone: bool = False


def news_in(event: Mapping[str, Any], organization: str) -> News | None:
    """Return what an event says, None if nothing that matters to members of this organization."""
    data = event.get("data")
    if not isinstance(data, dict):
        return None
    name, here = event.get("event"), data.get("organization_id") == organization
    found = None
    if name in MEMBERSHIPS and here and (user := _text(data, "user_id")):
        found = News(user=user, gone=name == DELETED or data.get("status") == "inactive")
    elif name in ("user.deleted", "user.updated") and (user := _text(data, "id")):
        found = News(user=user, gone=name == "user.deleted")
    elif name == "session.revoked" and (session := _text(data, "id")):
        found = News(session=session)
    return found


def _text(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) and value else None
