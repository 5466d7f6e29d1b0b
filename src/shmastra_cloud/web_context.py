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
    return await here.sessions.user(token_of(request))


def token_of(request: Request) -> str | None:
    """Return the token of a request's session cookie, if it has exactly one."""
    cookies = "; ".join(request.headers.getlist("cookie"))
    return session_token(cookies, https=context(request).settings.https)


async def signed_in(request: Request) -> User:
    """Return who is signed in; a FastAPI dependency.

    Raises:
        HTTPException: 401 without a session.
    """
    user = await visitor(request)
    if user is None:
        raise HTTPException(401, {"error": "Sign in first.", "code": "signed_out"})
    return user


async def administrator(request: Request) -> User:
    """Return the admin who is signed in; a FastAPI dependency.

    Raises:
        HTTPException: 401 without a session, 404 for whoever is no admin.
    """
    user = await signed_in(request)
    if user.role != "admin":
        raise HTTPException(404, {"error": "There is nothing here.", "code": "not_found"})
    return user


def header_map(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return raw ASGI headers as text; several of one name are joined, so that none can hide another."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        joint = "; " if name == "cookie" else ", "
        found[name] = f"{found[name]}{joint}{value}" if name in found else value
    return found


def session_token(cookies: str | None, *, https: bool) -> str | None:
    """Return the session's token out of a raw ``Cookie`` header; two different ones are none.

    Another port or a sibling host can toss a cookie of that name in; which one is ours can't be told.
    """
    wanted = cookie_name(https=https)
    tokens = set()
    for part in (cookies or "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == wanted:
            tokens.add(value)
    return tokens.pop() if len(tokens) == 1 else None


def origin_of(url: str) -> str:
    """Return a URL's origin as browsers write it: in lower case, without the default port."""
    parts = urlsplit(url.lower())
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if parts.port in (None, default) else f":{parts.port}")


def is_same_origin(method: str, headers: dict[str, str], public_url: str) -> bool:
    """Tell whether a change was asked for by a page of this origin.

    Browsers send ``Sec-Fetch-Site`` or ``Origin`` with every change; one that has neither is not trusted.
    """
    if method in SAFE_METHODS:
        return True
    origin = headers.get("origin")
    if origin is not None:
        return origin == origin_of(public_url)
    return headers.get("sec-fetch-site") == "same-origin"


def is_foreign(headers: dict[str, str], public_url: str) -> bool:
    """Tell whether a page of another origin says that it asks; such a page gets no data of a user's."""
    origin = headers.get("origin")
    if origin is not None and origin != origin_of(public_url):
        return True
    return headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
