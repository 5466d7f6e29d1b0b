"""Server-sent events that pass whole, so that a stream which breaks can still end with one of ours."""

from __future__ import annotations

MAX_EVENT_BYTES = 1024 * 1024
_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")


class WholeEvents:
    """Holds the beginning of an event back until its end has come; beyond 1 MB it passes in pieces."""

    def __init__(self) -> None:
        self._held = b""
        self._broken = False

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the stream and return the whole events of it."""
        if not self._held and data.endswith(_ENDS):
            self._broken = False
            return data
        data = self._held + data
        end = max(data.rfind(mark) + len(mark) if mark in data else 0 for mark in _ENDS)
        if len(data) - end > MAX_EVENT_BYTES:
            self._held, self._broken = b"", True
            return data
        self._held = data[end:]
        self._broken = self._broken and not end
        return data[:end]

    def rest(self) -> bytes:
        """Return what is held, at the stream's proper end."""
        held, self._held = self._held, b""
        return held

    def cut(self, last: bytes) -> bytes:
        """Return a last event for a stream that broke; the beginning of another one is dropped or ended."""
        return (b"\n\n" if self._broken else b"") + last
