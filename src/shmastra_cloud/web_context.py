"""What every route may ask for: the parts of one web process, and who is signed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

from shmastra_cloud.identity.sessions import Sessions, User, cookie_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shmastra_cloud.database import Pool
    from shmastra_cloud.settings import Settings

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class WebContext:
    """The parts that the control plane's routes share."""

    settings: Settings
    pool: Pool
    sessions: Sessions


def context(request: Request) -> WebContext:
    """Return the process's context; a FastAPI dependency."""
    return cast("WebContext", request.app.state.context)


async def visitor(request: Request) -> User | None:
    """Return who is signed in, or None; a FastAPI dependency."""
    here = context(request)
    return await here.sessions.user(request.cookies.get(cookie_name(https=here.settings.https)))


async def signed_in(request: Request) -> User:
    """Return who is signed in; a FastAPI dependency.

    Raises:
        HTTPException: 401 without a session.
    """
    user = await visitor(request)
    if user is None:
        raise HTTPException(401, {"error": "Sign in first.", "code": "signed_out"})
    return user


def header_map(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return raw ASGI headers as text; of several of one name the last, cookies joined."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        found[name] = f"{found[name]}; {value}" if name == "cookie" and name in found else value
    return found


def session_token(cookies: str | None, *, https: bool) -> str | None:
    """Return the session's token out of a raw ``Cookie`` header."""
    wanted = cookie_name(https=https)
    for part in (cookies or "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == wanted:
            return value
    return None


def is_same_origin(method: str, headers: dict[str, str], public_url: str) -> bool:
    """Tell whether a change was asked for by a page of this origin.

    Browsers send ``Sec-Fetch-Site`` or ``Origin`` with every change; one that has neither is not trusted.
    """
    if method in SAFE_METHODS:
        return True
    origin = headers.get("origin")
    if origin is not None:
        wanted = urlsplit(public_url)
        return origin == f"{wanted.scheme}://{wanted.netloc}"
    return headers.get("sec-fetch-site") == "same-origin"
