"""Who a request really comes from, where proxies stand in between: their word counts only if they are listed.

A proxy appends the address that it saw, so a list is read from its right end: each address was written by
the one to its right, and the first that is no listed proxy is the client. What stands left of it is anyone's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shmastra_cloud.web_process import Scope

    Address = IPv4Address | IPv6Address

UNIX = "unix"
HOPS = 16
HOP_BYTES = 256
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 -- RFC 9110, 5.6.2
_PAIR = rf'\s*({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*")\s*'
_ELEMENT = re.compile(rf"{_PAIR}(?:;{_PAIR})*")
_PAIRS = re.compile(_PAIR)


@dataclass(frozen=True)
class TrustedProxies:
    """The networks whose word of a client is believed; ``unix``: also whoever comes through a unix socket."""

    networks: tuple[Any, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, text: str) -> TrustedProxies:
        """Read ``127.0.0.1, 10.0.0.0/8, 2001:db8::/32, unix``.

        Raises:
            ValueError: an entry is neither an address, nor a network, nor ``unix``.
        """
        words = [word for word in re.split(r"[,\s]+", text) if word]
        return cls(tuple(_network(word) for word in words if word != UNIX), UNIX in words)

    def __bool__(self) -> bool:
        return self.unix or bool(self.networks)

    def hold(self, address: Address) -> bool:
        """Tell whether a proxy is listed by its address."""
        return any(address in network for network in self.networks)


def comes_from_proxy(scope: Scope, trusted: TrustedProxies) -> bool:
    """Tell whether whoever sent a request is listed, so that its word of a client is believed."""
    peer = scope.get("client")
    if not peer:
        return trusted.unix
    nearest = _address(peer[0])
    return nearest is not None and trusted.hold(nearest)


def client_address(scope: Scope, trusted: TrustedProxies) -> str:
    """Return the address of who asks, without a port; ``unix`` for a unix socket that tells of nobody.

    ``X-Forwarded-For`` is read where there is one, else ``Forwarded`` (RFC 7239); never both, as a proxy
    that writes one of them passes the other on as its client sent it.
    """
    peer = scope.get("client")
    if not trusted:
        return str(peer[0]) if peer else UNIX
    known = str(_address(peer[0]) or peer[0]) if peer else UNIX
    if not comes_from_proxy(scope, trusted):
        return known
    for hop in _hops(scope["headers"]):
        address = _address(hop)
        if address is None:
            break
        known = str(address)
        if not trusted.hold(address):
            break
    return known


def client_scheme(scope: Scope, trusted: TrustedProxies) -> str:
    """Return ``http`` or ``https``: how who asks reached the first of the proxies that are believed."""
    own = _SCHEMES.get(scope.get("scheme", "http"), "http")
    if not comes_from_proxy(scope, trusted):
        return own
    told = list(_last(scope["headers"], b"x-forwarded-proto"))
    if not told:
        told = [_pairs(element).get("proto", "") for element in _last(scope["headers"], b"forwarded")]
    return _SCHEMES.get(told[0].strip().lower(), own) if told else own


def _network(word: str) -> Any:
    try:
        found = ip_network(word, strict=False)
    except ValueError:
        raise ValueError(
            f"{word!r} is neither an address (10.0.0.5), nor a network (10.0.0.0/8), nor `unix`"
        ) from None
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) else None
    if mapped is not None and found.prefixlen >= 96:
        return ip_network(f"{mapped}/{found.prefixlen - 96}", strict=False)
    return found


def _address(text: str) -> Address | None:
    """Return an address out of ``1.2.3.4``, ``1.2.3.4:80``, ``2001:db8::1`` or ``[2001:db8::1]:80``."""
    text = text.strip()
    if text.startswith("["):
        text, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
    else:
        port = ""
    if "%" in text or (port and not (port.isascii() and port.isdigit())):
        return None
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _hops(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """Return what the proxies wrote, the nearest first."""
    pairs = list(headers)
    if any(name == b"x-forwarded-for" for name, _ in pairs):
        return _last(pairs, b"x-forwarded-for")
    return [_pairs(element).get("for", "") for element in _last(pairs, b"forwarded")]


def _last(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    """Return the last elements of a list that may stand on several lines, the last one first."""
    found: list[str] = []
    for value in reversed([value for name, value in headers if name == wanted]):
        if len(found) >= HOPS:
            break
        elements = value.decode("latin-1").rsplit(",", HOPS - len(found))[-HOPS:]
        found += [element[: HOP_BYTES + 1] for element in reversed(elements)]
    return [element if len(element) <= HOP_BYTES else "" for element in found[:HOPS]]


def _pairs(element: str) -> Mapping[str, str]:
    """Return one element of ``Forwarded``; empty where it is no such element, or names one thing twice.

    Cutting at commas can cut a quoted one in two. Neither part is an element then: its quotes do not match.
    """
    if not _ELEMENT.fullmatch(element):
        return {}
    found: dict[str, str] = {}
    for name, value in _PAIRS.findall(element):
        if name.lower() in found:
            return {}
        found[name.lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value[:1] == '"' else value
    return found
