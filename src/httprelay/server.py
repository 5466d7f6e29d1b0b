"""uvicorn's HTTP protocol with bounds: what is too large, too slow or ambiguous is refused, not buffered."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from httprelay.cycle import Cycle
from httprelay.flow import Flow
from httprelay.refusals import (
    LATE,
    NO_WEBSOCKETS,
    TOO_LARGE,
    TOO_LONG_LINES,
    TOO_MANY_LINES,
    TOO_MANY_REQUESTS,
    UPGRADE_WITH_BODY,
    refusal,
)
from httprelay.request import body_framing

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


_REFUSAL = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
_Awaited = Literal["nothing", "another request", "a head", "a body"]


@dataclass(frozen=True)
class Bounds:
    """What one client may take: bytes and lines of a head, queued requests, seconds of silence.

    ``head_seconds`` runs from the connection, or a head's first byte, to the head's end; ``body_seconds``
    between two pieces of a body; ``write_seconds`` while the client takes nothing of what is sent.
    ``head_bytes`` also bounds what stands between two pieces of a body, and its trailers.
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
    cycle: Cycle | None  # type: ignore[assignment]  # ours is none of uvicorn's

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refusal: tuple[int, str] | None = None
        self._head_open, self._between = False, True
        self._raw_bytes = self._marks = self._read_bytes = 0
        self._running: Cycle | None = None
        self._awaited: _Awaited = "nothing"
        self._due = inf
        self._read_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._on_leave: Callable[[], None] | None = None
        self._becomes_socket = False
        self._queued: list[Cycle] = []
        del self.pipeline  # uvicorn's, whose empty deque is larger than all else that waits here

    # What asyncio calls.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the transport, and begin to wait for a head."""
        super().connection_made(transport)
        self.flow = Flow(transport)
        self._await_more()

    def data_received(self, data: bytes) -> None:
        """Parse; no more of a head is looked at than may be."""
        if self._refusal is not None:
            return
        room = self.bounds.head_bytes - self._raw_bytes
        if len(data) > room and (self._head_open or self._between):
            rest = data[room:]
            self._parse(data[:room])
            if self._head_open and self._raw_bytes >= self.bounds.head_bytes:
                self._answer_refusal(*TOO_LARGE)
            elif self.parser is not None and not self._becomes_socket:
                self.data_received(rest)
            return
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        clean, marks = self._between, self._marks
        self._read_bytes = len(data)
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        except HttpParserUpgrade as end:
            if self._becomes_socket:
                self._become_socket(data[end.args[0] :])
                return
        if self._refusal is not None or self.transport.is_closing():
            return
        # Where something has come to its end, how much of the data belongs to what follows is not known.
        if not self._between and (
            marks == self._marks or (clean and self._head_open and self._marks == marks + 1)
        ):
            self._raw_bytes += len(data)
            if self._raw_bytes > self.bounds.head_bytes:
                self._answer_refusal(*(TOO_LARGE if self._head_open else TOO_LONG_LINES))
                return
        self._await_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every request of this connection; uvicorn tells the last one only."""
        self._stop_timers()
        self._abandon()
        self.connections.discard(self)
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = None  # type: ignore[assignment]  # as uvicorn lets go of it

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
        """Start a head."""
        self._head_open, self._between = True, False
        self._progress()
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_url(self, url: bytes) -> None:
        """Keep the request target."""
        self.url = self.url + url if self.url else url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are dropped."""
        if not self._head_open:
            return
        if len(self.headers) >= self.bounds.head_lines:
            self._refuse(*TOO_MANY_LINES)
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Refuse an ambiguous head, else start the request."""
        self._head_open = False
        self._progress()
        method, version = self.parser.get_method(), self.parser.get_http_version()
        found = refusal(method, self.url, version, self.headers)
        if found is not None:
            self._refuse(*found)
        if self._read_bytes > self.bounds.head_bytes and self._head_size() > self.bounds.head_bytes:
            self._refuse(*TOO_LARGE)
        if len(self._queued) >= self.bounds.pipelined:
            self._refuse(*TOO_MANY_REQUESTS)
        upgrade = self.parser.should_upgrade()
        if upgrade and self._get_upgrade() == b"websocket":
            self._check_socket()
            self._becomes_socket = True  # no request of HTTP, so none is begun
            return
        if upgrade and body_framing(self.headers).has_body:  # the parser takes it for another protocol
            self._refuse(*UPGRADE_WITH_BODY)
        # What follows an upgrade, or a body that was asked for, could be taken for something else.
        keep_alive = not upgrade and not self.expect_100_continue
        self._begin_cycle(method.decode("ascii"), version, keep_alive=keep_alive)

    def _begin_cycle(self, method: str, version: str, *, keep_alive: bool) -> None:
        """Start the request, or queue it behind the one that runs."""
        raw_path, _, query = self.url.partition(b"?")
        path = raw_path.decode("ascii")
        scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": method,
            "root_path": self.root_path,
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }
        keep_alive = keep_alive and version == "1.1" and self.parser.should_keep_alive()
        before, self.cycle = (
            self.cycle,
            Cycle(self, scope, keep_alive=keep_alive, expects=self.expect_100_continue),
        )
        if before is None or before.response_complete:
            self._start(self.cycle)
            return
        self._queued.append(self.cycle)
        if self._on_leave is None:
            self.flow.pause_reading()

    def on_body(self, body: bytes) -> None:
        """Hold a piece until the application takes it; too much of it makes the client wait."""
        self._progress()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.feed(body)
            if cycle.held > HIGH_WATER_LIMIT:
                self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """End the request; whatever comes next is a head again."""
        self._between = True
        self._progress()
        if self.cycle is not None and not self._becomes_socket:
            self.cycle.more_body = False
            self.cycle.wake()

    # What a cycle and uvicorn call.
    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._queued:
            self._start(self._queued.pop(0))
        elif not self._head_open:
            self._awaited = "another request"
            self._wait(self.timeout_keep_alive)

    def send_400_response(self, msg: str) -> None:
        """Answer with the refusal that was chosen, or uvicorn's, unless another answer is under way."""
        self._answer_refusal(*(self._refusal or (400, msg)))

    def _answer_refusal(self, status: int, text: str) -> None:
        self._refusal = (status, text)
        running = self._running
        own = running is not None and running is self.cycle and running.more_body
        if running is None or running.response_complete or (own and not running.response_started):
            body = text.encode("ascii")
            self.transport.write(STATUS_LINE[status] + _REFUSAL % len(body) + body)
        self._abandon()
        self.transport.close()

    def _start(self, cycle: Cycle) -> None:
        self._running = cycle
        self._on_leave = None
        cycle.scope["httprelay.on_leave"] = self._note_leaving
        cycle.task = self.loop.create_task(cycle.run(self.app))
        self.tasks.add(cycle.task)

    def _note_leaving(self, call: Callable[[], None] | None) -> None:
        """Take what is to be called when the client goes, for who would need a task to wait for it."""
        self._on_leave = call
        if call is not None:
            self.flow.resume_reading()  # who does not read does not see it go
            if self.transport.is_closing():  # it went before there was anything to call
                self.loop.call_soon(call)

    # A connection that goes on as a WebSocket, which a subclass may take up.
    def _check_socket(self) -> None:
        self._refuse(*NO_WEBSOCKETS)

    def _become_socket(self, rest: bytes) -> None:
        raise NotImplementedError

    def _progress(self) -> None:
        self._raw_bytes = 0
        self._marks += 1

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self, status: int, text: str) -> None:
        self._refusal = (status, text)
        raise _RefusedError

    def _abandon(self) -> None:
        if self._on_leave is not None:
            self._on_leave()
        for cycle in (self._running, self.cycle, *self._queued):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.wake()

    # Waiting for the client: one timer, which is not moved but looks again.
    def _await_more(self) -> None:
        cycle = self.cycle
        if self._head_open or cycle is None or cycle.response_complete:
            if self._awaited != "a head":
                self._awaited = "a head"
                self._wait(self.bounds.head_seconds)
        elif cycle.more_body:
            self._awaited = "a body"
            self._wait(self.bounds.body_seconds)
        else:
            self._awaited, self._due = "nothing", inf

    def _wait(self, seconds: float) -> None:
        self._due = self.loop.time() + seconds
        if self._read_timer is not None and self._read_timer.when() > self._due:
            self._read_timer.cancel()
            self._read_timer = None
        if self._read_timer is None:
            self._read_timer = self.loop.call_at(self._due, self._late)

    def _late(self) -> None:
        self._read_timer = None
        if self.transport.is_closing() or self._due == inf:
            return
        if self._due > self.loop.time():
            self._read_timer = self.loop.call_at(self._due, self._late)
        elif self._awaited == "a body" and self.flow.read_paused:
            self._wait(1.0)  # it is we who do not read
        elif self._awaited == "a body" or self._head_open:
            self._answer_refusal(*LATE)
        else:
            self.transport.close()

    def _stop_timers(self) -> None:
        for timer in (self._read_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._read_timer = self._write_timer = None
