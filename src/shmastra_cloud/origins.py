"""Where a request comes from, as its headers say: of this origin's pages, or of another's."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def header_map(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return raw ASGI headers as text; several of one name are joined, so that none can hide another."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        joint = "; " if name == "cookie" else ", "
        found[name] = f"{found[name]}{joint}{value}" if name in found else value
    return found


def origin_of(url: str) -> str:
    """Return a URL's origin as browsers write it: in lower case, without the default port."""
    parts = urlsplit(url.lower())
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if parts.port in (None, default) else f":{parts.port}")


def is_same_origin(method: str, headers: dict[str, str], public_url: str) -> bool:
    """Tell whether a change was asked for by a page of this origin.

    Browsers send ``Sec-Fetch-Site`` or ``Origin`` with every change; one that has neither is not trusted, nor
    is one where they do not agree.
    """
    if method in SAFE_METHODS:
        return True
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is None:
        return site == "same-origin"
    return origin == origin_of(public_url) and site in {None, "none", "same-origin"}


def is_foreign(headers: dict[str, str], public_url: str) -> bool:
    """Tell whether a page of another origin says that it asks; such a page gets no data of a user's."""
    origin = headers.get("origin")
    if origin is not None and origin != origin_of(public_url):
        return True
    return headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
