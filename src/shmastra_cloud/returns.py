"""Where somebody goes on to after signing in or starting up: only ever to a page of this origin.

Somebody who opens a page and is not signed in is sent to ``/``, and a cookie keeps where he wanted to go.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from fastapi.responses import RedirectResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import Request, Response

STUDIO = "/studio"
WORKSPACE = "/workspace"
RETURN_CHARACTERS = 2048
RETURN_SECONDS = 15 * 60
_WHERE_ALL_GO = (STUDIO, WORKSPACE)
_OURS = re.compile(
    r"/(studio|workspace|manage|usage|sessions)(/[A-Za-z0-9._~%-]+)*/?(\?[A-Za-z0-9._~%&=+-]*)?", re.ASCII
)


def safe_return(wanted: str | None, otherwise: str = STUDIO) -> str:
    """Return ``wanted`` where it is a plain path of one of our pages, else ``otherwise``."""
    if not wanted or len(wanted) > RETURN_CHARACTERS or not _OURS.fullmatch(wanted):
        return otherwise
    return otherwise if "/.." in wanted or "%2e" in wanted.lower() else wanted


def return_cookie(*, https: bool) -> str:
    """Return the name of the cookie that keeps where somebody wanted to go."""
    return "__Host-shmastra_return" if https else "shmastra_return"


def sign_in_first(request: Request, *, https: bool) -> Response:
    """Send somebody to the sign-in page who wanted another one, and keep for 15 minutes which."""
    response = RedirectResponse("/", 302)
    path = request.scope["raw_path"].decode("ascii", "replace")
    query = request.scope["query_string"].decode("ascii", "replace")
    wanted = safe_return(f"{path}?{query}" if query else path, "")
    if wanted and wanted not in _WHERE_ALL_GO:
        _set(response, quote(wanted, safe=""), RETURN_SECONDS, https=https)
    return response


def kept_return(cookies: Mapping[str, str], *, https: bool) -> str:
    """Return where somebody wanted to go before he signed in; empty where that is not known."""
    return safe_return(unquote(cookies.get(return_cookie(https=https), "")), "")


def forget_return(response: Response, cookies: Mapping[str, str], *, https: bool) -> None:
    """Take the cookie away again, if there is one."""
    if return_cookie(https=https) in cookies:
        _set(response, "", 0, https=https)


def _set(response: Response, value: str, seconds: int, *, https: bool) -> None:
    response.set_cookie(
        return_cookie(https=https),
        value,
        max_age=seconds,
        httponly=True,
        samesite="lax",
        secure=https,
        path="/",
    )
