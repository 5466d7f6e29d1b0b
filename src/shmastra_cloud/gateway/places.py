"""Where a provider is and under which keys, as settings say it; errors name the setting and never a key."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from httprelay import Target, safe_path
from shmastra_cloud.gateway.errors import BadConfiguration

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY = re.compile(r"[\x21-\x7e]+")


class Place(NamedTuple):
    """A base URL taken apart: whom to connect to, and the path that all others begin with."""

    target: Target
    path: bytes


def place(url: str, variable: str, *, example: str, version: bytes) -> Place:
    """Take a base URL apart; one without any path gets the provider's version segment.

    Raises:
        BadConfiguration: nothing can be asked there; the message names ``variable``.

    """
    problem = BadConfiguration(f"{variable} must be like {example}, without a query or a password.")
    try:
        parts = urlsplit(url.strip())
        port = parts.port
        path = parts.path.rstrip("/").encode("ascii") or version
    except ValueError as error:
        raise problem from error
    plain = not (parts.query or parts.fragment or "@" in parts.netloc)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or not plain
        or not safe_path(path or b"/")
    ):
        raise problem
    tls = parts.scheme == "https"
    return Place(Target(parts.hostname, port or (443 if tls else 80), tls=tls), path)


def keys(value: str, variable: str) -> tuple[str, ...]:
    """Read a list of keys that commas separate.

    Raises:
        BadConfiguration: one of them cannot be sent in a header.

    """
    found = tuple(key.strip() for key in value.split(",") if key.strip())
    if not all(_KEY.fullmatch(key) for key in found):
        raise BadConfiguration(f"{variable} holds characters that no key has; separate keys by commas.")
    return found


def check_in_the_clear(there: Place, variable: str, environ: Mapping[str, str]) -> None:
    """Refuse to send a key over a network unencrypted, unless an admin said that it is his alone.

    Raises:
        BadConfiguration: the address is neither https nor on this machine.

    """
    host = there.target.host
    if there.target.tls or _is_loopback(host) or environ.get("SHMASTRA_INSECURE_HTTP", "") in {"1", "true"}:
        return
    raise BadConfiguration(
        f"{variable} is plain http to another machine ({host}), so the provider's key would cross the "
        "network in the clear: use https (or, where nobody else is on it, set SHMASTRA_INSECURE_HTTP=1)."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
