"""A session as its user sees it: what was signed in with, where, when and how. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from uuid import UUID

    from shmastra_cloud.database import Row

HOW = {"local": "one-time link", "workos": "WorkOS", "oidc": "single sign-on"}
# In this order: Edge and Opera name Chrome too, Chrome names Safari, Android names Linux.
_BROWSERS = {
    "Edge": r"\bEdg[A-Z]*/",
    "Opera": r"\bOPR/",
    "Firefox": r"\b(?:Firefox|FxiOS)/",
    "Chrome": r"\b(?:Chrome|Chromium|CriOS)/",
    "Safari": r"\bSafari/",
}
_SYSTEMS = {
    "iPhone": r"\biPhone\b",
    "iPad": r"\biPad\b",
    "Android": r"\bAndroid\b",
    "Windows": r"\bWindows\b",
    "macOS": r"\bMac OS X\b",
    "ChromeOS": r"\bCrOS\b",
    "Linux": r"\bLinux\b",
}


@dataclass(frozen=True)
class Shown:
    """One line of the page; ``own`` is the session that the page was asked for with."""

    id: UUID
    device: str
    address: str
    how: str
    since: dt.datetime
    used: dt.datetime
    own: bool


def shown(row: Row, own: bytes) -> Shown:
    """Return a session as it is shown; ``own`` is the hash of the token of who asks."""
    return Shown(
        id=row["id"],
        device=device(row["agent"]),
        address=row["address"] or "unknown address",
        how=HOW[row["source"]],
        since=row["created_at"],
        used=row["last_used_at"],
        own=bytes(row["token_hash"]) == own,
    )


def device(agent: str | None) -> str:
    """Return what a browser calls itself, in two words: a guess, since anybody may call himself anything."""
    browser = _first(_BROWSERS, agent or "")
    system = _first(_SYSTEMS, agent or "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or "Unknown device"


def _first(patterns: dict[str, str], text: str) -> str | None:
    return next((name for name, pattern in patterns.items() if re.search(pattern, text)), None)
