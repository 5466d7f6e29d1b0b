"""uvicorn's HTTP protocol with bounds: what is too large or ambiguous is refused before it is buffered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADER_LINES = 100
_BAD_TARGET = re.compile(rb"[\x00-\x20\x7f-\xff]")
_CONTROL = re.compile(rb"%(?:[01][0-9a-f]|7f)", re.IGNORECASE)


class _RefusedError(Exception):
    """Stops the parser; the answer is already chosen."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """Answers 431 beyond 64 KB or 100 lines of headers, and 400 to a request that can be read in two ways."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refusal: tuple[int, str] | None = None
        self._head_open = True
        self._head_bytes = 0
        self._raw_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the transport."""
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Parse, and refuse a head that has grown too large without ending."""
        if self._refusal is not None:
            return
        super().data_received(data)
        if self._refusal is None and self._head_open and not self.transport.is_closing():
            self._raw_bytes += len(data)
            if self._raw_bytes > MAX_HEAD_BYTES:
                self._refusal = (431, "Request headers are too large.")
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """Start counting."""
        super().on_message_begin()
        self._head_open = True
        self._head_bytes = 0
        self._raw_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Count the request target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count one header line."""
        self._count(len(name) + len(value) + 4)
        if len(self.headers) >= MAX_HEADER_LINES:
            self._refuse(431, "Too many header lines.")
        if self._head_open:  # trailers are counted and dropped
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Refuse an ambiguous head, else start the request."""
        self._head_open = False
        names = [name for name, _ in self.headers]
        if names.count(b"host") != 1:
            self._refuse(400, "Exactly one Host header is needed.")
        if b"content-length" in names and b"transfer-encoding" in names:
            self._refuse(400, "Content-Length and Transfer-Encoding exclude each other.")
        if _BAD_TARGET.search(self.url) or _CONTROL.search(self.url.partition(b"?")[0]):
            self._refuse(400, "The path holds characters that are not allowed.")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the request; whatever comes next is a head again."""
        super().on_message_complete()
        self._head_bytes = 0

    def send_400_response(self, msg: str) -> None:
        """Answer with the refusal that was chosen, or uvicorn's."""
        status, text = self._refusal or (400, msg)
        self._refusal = (status, text)
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # an answer is under way: another one would be read as part of it
            return
        body = text.encode("ascii")
        head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        self.transport.close()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, "Request headers are too large.")

    def _refuse(self, status: int, text: str) -> None:
        self._refusal = (status, text)
        raise _RefusedError
