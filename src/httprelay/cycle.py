"""One request and its answer on a server's connection: uvicorn's, made to write less often."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uvicorn._types import ASGISendEvent

_LINES = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)*")


class Cycle(RequestResponseCycle):
    """Sends an answer's head with the first piece of its body, at the latest in the loop's next turn.

    An answer without a length to an HTTP/1.0 request ends with its connection.
    """

    _head = b""
    _until_close = False

    async def send(self, message: ASGISendEvent) -> None:
        """Take the application's next message.

        Raises:
            RuntimeError: it is not the next one, or holds what may not be sent.

        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.response_complete:
            raise RuntimeError(f"{message['type']} came after the answer's end.")
        if message["type"] == "http.response.body" and self.response_started:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))
        elif message["type"] == "http.response.start" and not self.response_started:
            self._begin(message["status"], [*self.default_headers, *message.get("headers", ())])
        else:
            raise RuntimeError(f"{message['type']} is not what comes next.")

    def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        lines = b"".join([b"%b: %b\r\n" % (name.lower(), value) for name, value in headers])
        # One look at all lines: each begins with a name, and there are as many as there were headers.
        if not _LINES.fullmatch(lines) or lines.count(b"\n") != len(headers):
            raise RuntimeError("A header of the answer holds characters that may not be sent.")
        self.response_started = True
        self.waiting_for_100_continue = False
        self._frame(status, headers)
        if not self.keep_alive and b"\r\nconnection: " not in lines:
            lines += b"connection: close\r\n"
        if self.chunked_encoding:
            lines += b"transfer-encoding: chunked\r\n"
        self._head = STATUS_LINE[status] + lines + b"\r\n"
        asyncio.get_running_loop().call_soon(self._flush)

    def _frame(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.chunked_encoding = self.scope["method"] != "HEAD" and status not in {204, 304}
        for name, value in headers:
            lower = name.lower()
            if lower == b"content-length":
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            elif lower == b"transfer-encoding":
                raise RuntimeError("An application does not choose the answer's framing.")
            elif lower == b"connection" and b"close" in value.lower():
                self.keep_alive = False
        if self.chunked_encoding and self.scope["http_version"] != "1.1":
            self.chunked_encoding, self._until_close, self.keep_alive = False, True, False

    def _go_on(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            body, self.expected_content_length = b"", 0
        elif self.chunked_encoding:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = body if more else body + b"0\r\n\r\n"
        elif not self._until_close:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("The answer is longer than its Content-Length.")
        head, self._head = self._head, b""
        self.transport.write(head + body if head else body)
        if not more:
            self._complete()

    def _complete(self) -> None:
        if self.expected_content_length:
            raise RuntimeError("The answer is shorter than its Content-Length.")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head:
            self.transport.write(head)
