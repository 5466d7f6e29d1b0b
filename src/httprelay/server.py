"""uvicorn's HTTP protocol with bounds: what is too large, too slow or ambiguous is refused, not buffered."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from httprelay.cycle import Cycle

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

# A path in which no control character hides, then a query; no fragment.
_TARGET = re.compile(
    rb"/(?:[\x21\x22\x24\x26-\x3e\x40-\x7e]|%(?![01][0-9a-fA-F]|7[fF]))*(?:\?[\x21\x22\x24-\x7e]*)?"
)
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_REFUSAL = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"


@dataclass(frozen=True)
class Bounds:
    """What one client may take: bytes and lines of a head, queued requests, seconds of silence.

    ``head_seconds`` runs from the connection, or a head's first byte, to the head's end; ``body_seconds``
    between two pieces of a body; ``write_seconds`` while the client takes nothing of what is sent.
    """

    head_bytes: int = 64 * 1024
    head_lines: int = 100
    pipelined: int = 16
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    write_seconds: float = 60.0


class _RefusedError(Exception):
    """Stops the parser; the answer is already chosen."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """Answers 431 to a head beyond its bounds, 408 to a late one, and 400 to what can be read in two ways."""

    bounds: ClassVar[Bounds] = Bounds()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refusal: tuple[int, str] | None = None
        self._head_open = True
        self._head_bytes = 0
        self._raw_bytes = 0
        self._running: RequestResponseCycle | None = None
        self._read_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._in_body = False
        self._last_data = 0.0
        self._on_leave: Callable[[], None] | None = None

    # What asyncio calls.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the transport, and begin to wait for a head."""
        super().connection_made(transport)
        self._await_more()

    def data_received(self, data: bytes) -> None:
        """Parse, and refuse a head that has grown too large without ending."""
        if self._refusal is not None:
            return
        super().data_received(data)
        if self._refusal is not None or self.transport.is_closing():
            return
        if self._head_open:
            self._raw_bytes += len(data)
            if self._raw_bytes > self.bounds.head_bytes:
                self._refusal = (431, "Request headers are too large.")
                self.send_400_response("")
                return
        self._await_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every request of this connection; uvicorn tells the last one only."""
        self._stop_timers()
        self._abandon()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait for a client that does not read."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.bounds.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Let the answer go on."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # What httptools calls.
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
        if len(self.headers) >= self.bounds.head_lines:
            self._refuse(431, "Too many header lines.")
        if self._head_open:  # trailers are counted and dropped
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Refuse an ambiguous head, else start the request."""
        self._head_open = False
        self._check_lengths([name for name, _ in self.headers])
        if self.parser.get_method() in {b"CONNECT", b"TRACE"}:
            self._refuse(405, "This method is not served here.")
        if not _TARGET.fullmatch(self.url):
            self._refuse(400, "The request's target is not a path, or holds characters that are not allowed.")
        if len(self.pipeline) >= self.bounds.pipelined:
            self._refuse(400, "Too many requests at once on one connection.")
        upgrade = self.parser.should_upgrade()
        if upgrade and self._get_upgrade() == b"websocket":
            self._refuse(400, "WebSockets are not served here.")
        # What follows an upgrade, or a body that was asked for, could be taken for something else.
        self._begin_cycle(keep_alive=not upgrade and not self.expect_100_continue)

    def _begin_cycle(self, *, keep_alive: bool) -> None:
        """Start the request, or queue it behind the one that runs."""
        version = self.parser.get_http_version()
        raw_path, _, query = self.url.partition(b"?")
        path = raw_path.decode("ascii")
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        self.scope["path"] = unquote(path) if "%" in path else path
        self.scope["raw_path"] = raw_path
        self.scope["query_string"] = query
        before = self.cycle
        self.cycle = Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive and version == "1.1" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
            return
        self.pipeline.appendleft((self.cycle, self.app))
        if self._on_leave is None:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """End the request; whatever comes next is a head again."""
        super().on_message_complete()
        self._head_bytes = 0

    # What uvicorn calls.
    def send_400_response(self, msg: str) -> None:
        """Answer with the refusal that was chosen, or uvicorn's, unless another answer is under way."""
        status, text = self._refusal or (400, msg)
        self._refusal = (status, text)
        running = self._running
        own = running is not None and running is self.cycle and running.more_body
        if running is None or running.response_complete or (own and not running.response_started):
            body = text.encode("ascii")
            self.transport.write(STATUS_LINE[status] + _REFUSAL % len(body) + body)
        self._abandon()
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        self._on_leave = None
        cycle.scope["httprelay.on_leave"] = self._note_leaving  # type: ignore[typeddict-unknown-key]
        super()._start_asgi_task(cycle, app)

    def _note_leaving(self, call: Callable[[], None] | None) -> None:
        """Take what is to be called when the client goes, for who would need a task to wait for it."""
        self._on_leave = call
        if call is not None:
            self.flow.resume_reading()  # who does not read does not see it go
            if self.transport.is_closing():  # it went before there was anything to call
                self.loop.call_soon(call)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: an upgrade to HTTP/2 is not taken up, and the answer is HTTP/1.1."""

    def _check_lengths(self, names: list[bytes]) -> None:
        if names.count(b"host") != 1 or not _HOST.fullmatch(dict(self.headers)[b"host"]):
            self._refuse(400, "Exactly one Host header is needed.")
        encodings = names.count(b"transfer-encoding")
        if encodings + names.count(b"content-length") > 1:
            self._refuse(400, "Content-Length and Transfer-Encoding exclude each other, and stand once.")
        if encodings and (
            dict(self.headers)[b"transfer-encoding"].lower() != b"chunked"
            or self.parser.get_http_version() != "1.1"
        ):
            self._refuse(400, "The only Transfer-Encoding is chunked, and not in HTTP 1.0.")

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.bounds.head_bytes:
            self._refuse(431, "Request headers are too large.")

    def _refuse(self, status: int, text: str) -> None:
        self._refusal = (status, text)
        raise _RefusedError

    def _abandon(self) -> None:
        if self._on_leave is not None:
            self._on_leave()
        for cycle in (self._running, self.cycle, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    # Waiting for the client: armed only while something of a request is missing.
    def _await_more(self) -> None:
        in_head = self._head_open or self.cycle is None or self.cycle.response_complete
        if not in_head and not self.cycle.more_body:
            self._stop_reading_timer()
            return
        self._last_data = self.loop.time()
        if self._read_timer is None or self._in_body == in_head:
            self._stop_reading_timer()
            self._in_body = not in_head
            seconds = self.bounds.head_seconds if in_head else self.bounds.body_seconds
            self._read_timer = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._read_timer = None
        if self.transport.is_closing():
            return
        left = self._last_data + self.bounds.body_seconds - self.loop.time()
        if self._in_body and (self.flow.read_paused or left > 0):
            self._read_timer = self.loop.call_later(left if left > 0 else 1.0, self._late)
        elif self._in_body or self._raw_bytes:
            self._refusal = (408, "The request did not arrive in time.")
            self.send_400_response("")
        else:
            self.transport.close()

    def _stop_reading_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _stop_timers(self) -> None:
        self._stop_reading_timer()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
