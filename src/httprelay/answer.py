"""An answer as it is written to a client: its head, and the frames of its body; no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from httprelay.headers import LINE_STARTS, joined

if TYPE_CHECKING:
    from collections.abc import Iterable

_STATUS = {status: line[:-2] for status, line in STATUS_LINE.items()}
_LENGTH, _ENCODING, _CONNECTION = b"content-length: ", b"transfer-encoding: ", b"connection: "
_TOLD = frozenset((_LENGTH, _ENCODING, _CONNECTION))


class Answer:
    """Frames one answer so that its request's client can read it, in chunks where it has no length.

    An answer without a length to an HTTP/1.0 request ends with its connection: ``keep_alive`` tells whether
    the connection may go on after the answer.
    """

    __slots__ = ("_chunked", "_is_head", "_left", "_until_close", "_version", "keep_alive")

    def __init__(self, method: str, version: str, *, keep_alive: bool) -> None:
        self._is_head, self._version, self.keep_alive = method == "HEAD", version, keep_alive
        self._chunked = self._until_close = False
        self._left = 0

    def head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Write the head.

        Raises:
            ValueError: it would be read in two ways, or frames the body itself.

        """
        lines = [_STATUS[status]]
        self._chunked = not self._is_head and status not in {204, 304}
        closing = False
        for name, value in headers:
            begun = LINE_STARTS[name]
            lines.append(begun + value)
            if begun in _TOLD:
                closing |= self._hear(begun, value)
        if self._chunked and self._version != "1.1":
            self._chunked, self._until_close, self.keep_alive = False, True, False
        if not self.keep_alive and not closing:
            lines.append(b"connection: close")
        if self._chunked:
            lines.append(b"transfer-encoding: chunked")
        lines += (b"", b"")
        return joined(lines)

    def _hear(self, begun: bytes, value: bytes) -> bool:
        """Learn what a header says about framing; return whether it says that the connection closes."""
        if begun == _ENCODING:
            raise ValueError("an application does not choose the answer's framing")
        if begun == _LENGTH:
            self._left, self._chunked = int(value), False
        elif b"close" in value.lower():
            self.keep_alive = False
            return True
        return False

    def piece(self, data: bytes, *, more: bool) -> bytes:
        """Return the bytes of a piece of the body, and of the body's end.

        Raises:
            ValueError: the body is not as long as the head said.

        """
        if self._is_head:
            return b""
        if self._chunked:
            framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            return framed if more else framed + b"0\r\n\r\n"
        if not self._until_close:
            self._left -= len(data)
            if self._left < 0 or (self._left and not more):
                raise ValueError("the answer's body is not as long as its Content-Length")
        return data
