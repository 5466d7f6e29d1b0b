"""What is changed in an answer on its way: an event that nobody asked for, a key that was echoed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_EVENT_BYTES = 1024 * 1024
MAX_ERROR_BYTES = 256 * 1024
_EVENT_END = re.compile(rb"\r?\n\r?\n")
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
# Providers mask a refused key in their messages, and leave enough of it to tell which one it is.
_MASKED = re.compile(rb"[A-Za-z0-9_-]{2,}\*{2,}[A-Za-z0-9_-]*")


class Edit(Protocol):
    """Rewrites a body that passes piece by piece."""

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """Take a piece and return what may go on now."""


class WithoutUsage:
    """Takes the usage chunk out of a stream of chat completions; whole events pass at once."""

    def __init__(self) -> None:
        self._rest = b""
        self._giving_up = False

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """Take a piece and return the whole events of it."""
        if self._giving_up or (not self._rest and b'"usage"' not in data and data.endswith(b"\n\n")):
            return data
        data = self._rest + data
        passed = []
        start = 0
        for end in _EVENT_END.finditer(data):
            event = data[start : end.end()]
            start = end.end()
            if not _is_usage_only(event):
                passed.append(event)
        self._rest = data[start:]
        if last or len(self._rest) > MAX_EVENT_BYTES:
            self._giving_up = True
            if not _is_usage_only(self._rest):
                passed.append(self._rest)
            self._rest = b""
        return b"".join(passed)


class Redacted:
    """Takes real keys out of an error's body, which is held back until it is whole; its length is bounded.

    ``read`` is given the body as the provider sent it.
    """

    def __init__(self, keys: tuple[bytes, ...], read: Callable[[bytes], None] | None = None) -> None:
        self._keys, self._read = keys, read
        self._body = bytearray()

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """Hold a piece back; return everything with the last one."""
        self._body += data[: MAX_ERROR_BYTES - len(self._body)]
        if not last:
            return b""
        body = bytes(self._body)
        if self._read is not None:
            self._read(body)
        for key in self._keys:
            body = body.replace(key, b"[redacted]")
        if len(self._body) == MAX_ERROR_BYTES:  # a key may have been cut in two
            body = body[: -max(map(len, self._keys), default=0) or None]
        return _MASKED.sub(b"[redacted]", body)


def _is_usage_only(event: bytes) -> bool:
    if b'"usage"' not in event or not _NO_CHOICES.search(event):
        return False
    try:
        chunk = json.loads(event[event.index(b"{") :])
    except ValueError:
        return False
    return isinstance(chunk, dict) and chunk.get("choices") == [] and bool(chunk.get("usage"))
