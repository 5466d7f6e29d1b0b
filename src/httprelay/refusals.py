"""What of a client's request is refused before anybody answers it, and with which status; no I/O."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from httprelay.headers import Headers

# A path, then a query; no fragment. In the path no control character may hide.
_TARGET = re.compile(rb"/[\x21\x22\x24-\x3e\x40-\x7e]*(?:\?[\x21\x22\x24-\x7e]*)?")
_HIDDEN = re.compile(rb"[^?]*%(?:[01][0-9a-fA-F]|7[fF])")
_TELLING = frozenset((b"host", b"content-length", b"transfer-encoding"))
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


class Refusal(NamedTuple):
    """An answer to a request that nobody may see: its status, and a sentence."""

    status: int
    text: str


TOO_LARGE = Refusal(431, "Request headers are too large.")
TOO_LONG_LINES = Refusal(400, "Too much stands between the pieces of the body, or behind them.")
TOO_MANY_LINES = Refusal(431, "Too many header lines.")
TOO_MANY_REQUESTS = Refusal(400, "Too many requests at once on one connection.")
NO_WEBSOCKETS = Refusal(400, "WebSockets are not served here.")
UPGRADE_WITH_BODY = Refusal(400, "No upgrade is served here; send a request that has a body without one.")
LATE = Refusal(408, "The request did not arrive in time.")
_NO_METHOD = Refusal(405, "This method is not served here.")
_NO_TARGET = Refusal(400, "The request's target is not a path, or holds characters that are not allowed.")
_NO_HOST = Refusal(400, "Exactly one Host header is needed.")
_TWO_LENGTHS = Refusal(400, "Content-Length and Transfer-Encoding exclude each other, and stand once.")
_NOT_CHUNKED = Refusal(400, "The only Transfer-Encoding is chunked, and not in HTTP 1.0.")
_NO_VERSION = Refusal(400, "Only HTTP 1.0 and 1.1 are spoken here.")


@lru_cache(maxsize=256)
def _is_host(host: bytes) -> bool:
    return len(host) < 300 and _HOST.fullmatch(host) is not None


@lru_cache(maxsize=1024)
def _is_target(target: bytes) -> bool:
    hidden = b"%" in target and _HIDDEN.match(target)
    return not hidden and _TARGET.fullmatch(target) is not None


def refusal(method: bytes, target: bytes, version: str, headers: Headers) -> Refusal | None:
    """Return how a request (names in lower case) is refused; None where it can be read in one way only."""
    host, hosts, encoding, lengths = b"", 0, b"", 0
    for name, value in headers:
        if name not in _TELLING:
            continue
        if name == b"host":
            host = value
            hosts += 1
        else:
            lengths += 1
            encoding = value if name == b"transfer-encoding" else encoding
    if hosts != 1 or not _is_host(host):
        return _NO_HOST
    if lengths > 1:
        return _TWO_LENGTHS
    if encoding and (encoding.lower() != b"chunked" or version != "1.1"):
        return _NOT_CHUNKED
    if version not in {"1.1", "1.0"}:
        return _NO_VERSION
    if method in {b"CONNECT", b"TRACE"}:
        return _NO_METHOD
    return None if _is_target(target) else _NO_TARGET
