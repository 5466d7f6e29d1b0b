"""WebSocket beside HTTP: which requests may become one, and what one may send, hold back, or leave unread.

Only who serves WebSockets imports this: it loads a library that others do without.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.server import ServerProtocol

from httprelay.paths import safe_path
from httprelay.server import BoundedHttpProtocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGISendEvent
    from websockets.frames import Frame

# Of its own, never below warnings: uvicorn's would write addresses with the keys in them, and whole frames.
log = logging.getLogger("httprelay.websocket")
log.setLevel(logging.WARNING)
# What a hostile client can cause at will is no news.
log.addFilter(lambda record: "Invalid UTF-8" not in record.getMessage())

# The library's own bounds for a handshake: bytes of one line with its end.
LINE_BYTES = 8192
_NEVER = frozenset((b"content-length", b"transfer-encoding", b"expect"))


@dataclass(frozen=True)
class SocketBounds:
    """What one WebSocket may take: bytes and fragments of a message, seconds between pings and for an answer.

    ``write_seconds`` runs while the client takes nothing of what is sent, ``close_seconds`` until it answers
    a close. What waits in memory is one message and what one read of the socket brought.
    """

    message_bytes: int = 16 * 1024 * 1024
    fragments: int = 65_536
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    write_seconds: float = 60.0
    close_seconds: float = 5.0


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """Speaks WebSocket without compression on a connection that began as HTTP."""

    bounds: ClassVar[SocketBounds] = SocketBounds()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = log
        self.conn = ServerProtocol(max_size=self.bounds.message_bytes, logger=log)
        self.ping_interval, self.ping_timeout = self.bounds.ping_interval, self.bounds.ping_timeout
        self.close_timeout = self.bounds.close_seconds
        self._write_timer: asyncio.TimerHandle | None = None
        self._pong = b""

    def begin(self, transport: asyncio.Transport, head: bytes) -> None:
        """Take a connection over with the request that asked for it, which has been checked as HTTP."""
        self.connection_made(transport)
        transport.set_protocol(self)
        self.data_received(head)
        if not self.handshake_initiated:
            self._refuse("This is not a WebSocket handshake.")

    def data_received(self, data: bytes) -> None:
        """Parse frames; before the handshake is answered there may be none."""
        if self.transport.is_closing():
            return
        if self.handshake_initiated and not self.handshake_complete:
            self._refuse("Nothing may be sent before the handshake is answered.")
            return
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and wait no longer."""
        self._stop_write_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait for a client that does not read."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.bounds.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Let what is sent go on."""
        self._stop_write_timer()
        pong, self._pong = self._pong, b""
        if pong and not self.transport.is_closing():
            self.transport.write(pong)
        super().resume_writing()

    def handle_ping(self) -> None:
        """Answer; where nothing can be sent now, later and the latest one only, as RFC 6455, 5.5.3 allows."""
        pong = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(pong)
        elif pong:
            self._pong = pong

    def handle_cont(self, event: Frame) -> None:
        """Add a fragment to its message; their number is bounded, as empty ones have no size."""
        if len(self.frames) >= self.bounds.fragments:
            self.frames = []
            self.conn.fail(1009, "too many fragments")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    def keepalive_timeout(self) -> None:
        """Give up a client that answers no ping, unless it is we who do not read."""
        if self.read_paused and self.ping_timeout is not None:
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
            return
        super().keepalive_timeout()

    async def send(self, message: ASGISendEvent) -> None:
        """Take the application's next message; an answer instead of a socket completes the handshake too."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    def _refuse(self, text: str) -> None:
        self.disconnected = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
        body = text.encode()
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n"
            b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        self.transport.close()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


class SocketHttpProtocol(BoundedHttpProtocol):
    """Takes WebSockets under paths that begin as ``sockets`` says, and refuses them everywhere else."""

    sockets: ClassVar[tuple[bytes, ...]] = ()
    protocol: ClassVar[type[BoundedWebSocketProtocol]] = BoundedWebSocketProtocol

    def _check_socket(self) -> None:
        path = self.url.partition(b"?")[0]
        if not path.startswith(self.sockets) or not safe_path(path):
            super()._check_socket()
        names = {name for name, _ in self.headers}
        busy = self.cycle is not None and not self.cycle.response_complete
        plain = self.parser.get_method() == b"GET" and self.parser.get_http_version() == "1.1"
        if busy or not plain or names & _NEVER:
            self._refuse(400, "A WebSocket begins with a GET of version 1.1 without a body, behind no other.")
        lines = self._lines()
        if max(map(len, lines), default=0) > LINE_BYTES or len(self.url) + 16 > LINE_BYTES:
            self._refuse(431, "Request headers are too large.")
        if not all(map(bytes.isascii, lines)):
            self._refuse(400, "The headers of a WebSocket are ASCII.")

    def _become_socket(self, rest: bytes) -> None:
        """Hand the connection over; what came with the handshake is nobody's, never another request."""
        if rest:
            self._refusal = (400, "Nothing may be sent before the handshake is answered.")
            self.send_400_response("")
            return
        self._stop_timers()
        self.connections.discard(self)
        head = b"GET %b HTTP/1.1\r\n%b\r\n" % (self.url, b"".join(self._lines()))
        self.parser = None  # type: ignore[assignment] # as uvicorn lets go of it
        self.protocol(self.config, self.server_state, self.app_state).begin(self.transport, head)

    def _lines(self) -> list[bytes]:
        return [b"%b: %b\r\n" % pair for pair in self.headers]
