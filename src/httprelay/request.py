"""A request as it is written to an upstream: its head, and how its body is framed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from httprelay.errors import UnsafeRequest
from httprelay.headers import FRAMING, HOP_BY_HOP, LINE_STARTS, joined, named_by_connection

if TYPE_CHECKING:
    from collections.abc import Iterable

_DROPPED = frozenset(name + b": " for name in HOP_BY_HOP | FRAMING)
_TARGET = re.compile(rb"/[\x21-\x7e]*")


class BodyFraming(NamedTuple):
    """How a request's body is framed: by its length in bytes, in chunks, or not at all."""

    length: bytes | None = None
    chunked: bool = False

    @property
    def has_body(self) -> bool:
        """Whether anything follows the head."""
        return self.chunked or self.length not in (None, b"0")


def body_framing(headers: Iterable[tuple[bytes, bytes]], body: bytes | None = None) -> BodyFraming:
    """Return how a request (names in lower case) is framed on its way on; ``body`` is all of it, if known."""
    if body is not None:
        return BodyFraming(b"%d" % len(body))
    length, chunked = None, False
    for name, value in headers:
        if name == b"content-length":
            length = value
        elif name == b"transfer-encoding":
            chunked = True
    return BodyFraming(length, chunked)


def request_head(
    method: str,
    path: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    authority: bytes,
    framing: BodyFraming,
) -> bytes:
    """Write a head; ``authority`` is the host where ``headers`` name none.

    What belongs to one connection only is left out, and so is every framing but ``framing``.

    Raises:
        UnsafeRequest: it could be read in two ways.

    """
    if not _TARGET.fullmatch(path):
        raise UnsafeRequest("the path holds characters that may not be sent")
    try:
        return joined(_lines(method.encode(), path, headers, authority, framing))
    except ValueError as error:
        raise UnsafeRequest(str(error)) from None


def _lines(
    method: bytes,
    path: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    authority: bytes,
    framing: BodyFraming,
) -> list[bytes]:
    lines = [b"%b %b HTTP/1.1" % (method, path), b""]
    hosts, hops = [], []
    for name, value in headers:
        begun = LINE_STARTS[name]
        if begun not in _DROPPED:
            lines.append(begun + value)
        elif begun == b"host: ":
            hosts.append(value)
        elif begun == b"connection: ":
            hops.append((b"connection", value))
    if hops:
        named = tuple(name + b": " for name in named_by_connection(hops))
        lines[2:] = [line for line in lines[2:] if not line.startswith(named)]
    lines[1] = b"host: " + (hosts[0] if hosts else authority)
    if framing.chunked:
        lines.append(b"transfer-encoding: chunked")
    elif framing.length is not None:
        lines.append(b"content-length: " + framing.length)
    lines += (b"", b"")
    return lines
