"""Rules for headers: what belongs to one connection only, and lines that nothing can split."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade http2-settings expect".split()
)
FRAMING = frozenset((b"content-length", b"host"))
_NAMES_NOTHING = frozenset((b"close", b"keep-alive", b"Keep-Alive", b""))
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS = bytes([*range(9), *range(10, 32), 127])  # all but the tab
_KNOWN, _KNOWN_BYTES = 1024, 64


class _Names(dict[bytes, bytes]):
    """How a header's line begins, by its name in any case; names that come again are not looked at again."""

    def __missing__(self, name: bytes) -> bytes:
        if not _TOKEN.fullmatch(name):
            raise ValueError("a header's name holds characters that may not be sent")
        begun = name.lower() + b": "
        if len(self) >= _KNOWN:
            self.clear()
        if len(name) <= _KNOWN_BYTES:
            self[name] = begun
        return begun


LINE_STARTS = _Names()


def joined(lines: list[bytes]) -> bytes:
    """Return lines as they are sent, each but the last with its end.

    Raises:
        ValueError: one of them would be read as more than one, or holds another control character.

    """
    text = b"\r\n".join(lines)
    if len(text.translate(None, _CONTROLS)) != len(text) - 2 * len(lines) + 2:
        raise ValueError("a header holds characters that may not be sent")
    return text


def without_hops(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return a message's headers (names in lower case) without what belongs to one connection only.

    Ask this of a client's headers before adding any: else its ``Connection`` header could name them.
    """
    pairs = headers if isinstance(headers, list) else list(headers)
    kept = [pair for pair in pairs if pair[0] not in HOP_BY_HOP]
    if len(kept) == len(pairs):
        return kept
    for name, value in pairs:
        if name == b"connection" and value not in _NAMES_NOTHING:
            named = named_by_connection(pairs)
            return [pair for pair in kept if pair[0] not in named]
    return kept


def named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """Return the names that a ``Connection`` header declares to be for one hop only."""
    named = [value for name, value in headers if name == b"connection"]
    if not named:
        return frozenset()
    return frozenset(item.strip().lower() for value in named for item in value.split(b",")) - FRAMING


def end_to_end(status: int, headers: Headers) -> Headers:
    """Return an answer's headers without those of one connection, or of a body that it does not have."""
    kept = without_hops(headers)
    if status in {204, 304}:
        kept = [pair for pair in kept if pair[0] != b"content-length"]
    return kept


def is_events(headers: Headers) -> bool:
    """Tell whether an answer is a stream of events whose end nothing has promised yet."""
    kind, encoding = b"", b"identity"
    for name, value in headers:
        if name == b"content-type":
            kind = value
        elif name == b"content-length":
            return False
        elif name == b"content-encoding":
            encoding = value
    return kind[:17].lower() == b"text/event-stream" and encoding == b"identity"
