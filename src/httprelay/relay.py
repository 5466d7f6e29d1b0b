"""One request relayed: streamed both ways, cancelled both ways, buffered nowhere."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from httprelay.errors import ClientGone, RelayError, UnsafeRequest, UpstreamClosed
from httprelay.events import WholeEvents

if TYPE_CHECKING:
    from httprelay.connection import Connection
    from httprelay.pool import Pool, Target

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Ended = Literal["complete", "client_gone", "upstream_error"]
Headers = list[tuple[bytes, bytes]]
OnResponse = Callable[[int, Headers], Headers]
OnCut = Callable[[RelayError], bytes | None]

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade http2-settings expect".split()
)
_FRAMING = frozenset((b"content-length", b"host"))
_LENGTH = frozenset((b"content-length",))
_LINES = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)*")
_TARGET = re.compile(rb"/[\x21-\x7e]*")


@dataclass(frozen=True)
class Timeouts:
    """Seconds: to connect, until the response's head, and between two pieces of it."""

    connect: float = 5.0
    first_byte: float = 600.0
    idle: float = 600.0


class Observer(Protocol):
    """Sees what passes, for metering; must not block and must not raise."""

    def chunk(self, data: bytes) -> None:
        """See a piece of the response's body."""

    def end(self, ended: Ended) -> None:
        """Learn how the response, once begun, has ended; called once."""


async def relay(  # noqa: PLR0913 -- an exchange has this many parts
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    pool: Pool,
    target: Target,
    path: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    on_response: OnResponse | None = None,
    on_cut: OnCut | None = None,
    observer: Observer | None = None,
    body: bytes | None = None,
    timeouts: Timeouts = Timeouts(),
) -> Ended:
    """Send a request on to ``path`` (with its query) of ``target`` and stream the answer back.

    ``headers`` are sent as they are, without what belongs to one connection only; a ``host`` among
    them is used in place of the target's own. ``on_response`` may edit the answer's headers. ``on_cut``
    gives the last events of a ``text/event-stream`` that breaks once begun; where it gives none, and for
    any other answer, the connection is cut. ``body`` is the request's, where it was read whole already.

    Raises:
        RelayError: no response has begun; the caller answers.

    """
    exchange = _Exchange(scope, receive, send, body, timeouts)
    head = exchange.request_head(path, headers, target)
    connection, reused = await pool.acquire(target, timeouts.connect)
    reusable = False
    try:
        try:
            await exchange.ask(connection, head)
        except UpstreamClosed:
            if not (reused and exchange.repeatable):
                raise
            pool.give_back(target, connection, reusable=False)
            connection, _ = await pool.acquire(target, timeouts.connect, fresh=True)
            await exchange.ask(connection, head)
        ended = await exchange.answer(connection, on_response, on_cut, observer)
        reusable = ended == "complete" and exchange.sent_all
    except RelayError as error:
        error.consumed = exchange.has_body
        raise
    else:
        return ended
    finally:
        exchange.stop()
        pool.give_back(target, connection, reusable=reusable)


class _Exchange:
    """A request on its way, and what is known of its client."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, body: bytes | None, timeouts: Timeouts
    ) -> None:
        self._scope, self._receive, self._send, self._timeouts = scope, receive, send, timeouts
        self._on_leave: Callable[[Callable[[], None] | None], None] | None = scope.get("httprelay.on_leave")
        self._body_read = body
        self._length: bytes | None = None
        self._chunked = False
        for name, value in scope["headers"]:
            if name == b"content-length":
                self._length = value
            elif name == b"transfer-encoding":
                self._chunked = True
        if body is not None:
            self._length, self._chunked = b"%d" % len(body), False
        self.has_body = self._chunked or self._length not in (None, b"0")
        self.sent_all = False
        self.client_gone = False
        self._pump: asyncio.Task[None] | None = None

    @property
    def repeatable(self) -> bool:
        """Whether asking twice does no more than asking once."""
        return (
            not self.has_body and self._scope["method"] in ("GET", "HEAD", "OPTIONS") and not self.client_gone
        )

    def request_head(self, path: bytes, headers: Iterable[tuple[bytes, bytes]], target: Target) -> bytes:
        """Write the request's head."""
        pairs = [(name.lower(), value) for name, value in headers]
        dropped = HOP_BY_HOP | _FRAMING | named_by_connection(pairs)
        host = next((value for name, value in pairs if name == b"host"), target.authority)
        kept = [(b"host", host), *(pair for pair in pairs if pair[0] not in dropped)]
        if self._chunked:
            kept.append((b"transfer-encoding", b"chunked"))
        elif self._length is not None:
            kept.append((b"content-length", self._length))
        if not _TARGET.fullmatch(path):
            raise UnsafeRequest("the path holds characters that may not be sent")
        lines = b"".join([b"%b: %b\r\n" % pair for pair in kept])
        # One look at all lines: each begins with a name, and there are as many as there were headers.
        if not _LINES.fullmatch(lines) or lines.count(b"\n") != len(kept):
            raise UnsafeRequest("a header holds characters that may not be sent")
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (self._scope["method"].encode(), path, lines)

    async def ask(self, connection: Connection, head: bytes) -> None:
        """Send the request and wait for the head of the response."""
        self.stop()
        connection.begin(is_head=self._scope["method"] == "HEAD")
        connection.write(head + (self._body_read or b""))
        self.sent_all = self._body_read is not None or not self.has_body
        if self.sent_all and self._on_leave is not None:
            self._on_leave(partial(self._left, connection))
        else:
            self._pump = asyncio.ensure_future(self._send_body(connection))
        await connection.read_head(self._timeouts.first_byte)

    async def answer(
        self,
        connection: Connection,
        on_response: OnResponse | None,
        on_cut: OnCut | None,
        observer: Observer | None,
    ) -> Ended:
        """Stream the response to the client."""
        ended: Ended = "client_gone"
        events: WholeEvents | None = None
        try:
            headers = _end_to_end(connection)
            if on_cut is not None and _is_events(headers):
                events, last = WholeEvents(), on_cut
            if on_response is not None:
                headers = on_response(connection.status, headers)
            await self._send({"type": "http.response.start", "status": connection.status, "headers": headers})
            if events is None:
                ended = await self._body(connection, observer)
            else:
                ended = await self._events(connection, observer, events, last)
        finally:
            if observer is not None:
                observer.end(ended)
        return ended

    async def _body(self, connection: Connection, observer: Observer | None) -> Ended:
        more = True
        while more:
            try:
                data = await connection.read(self._timeouts.idle)
            except RelayError:
                # Returning without an end makes the server cut the connection: the client sees that it broke.
                return "client_gone" if self.client_gone else "upstream_error"
            if observer is not None and data:
                observer.chunk(data)
            more = not connection.done
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
            if self.client_gone:
                return "client_gone" if more else "complete"
        return "complete"

    async def _events(
        self, connection: Connection, observer: Observer | None, events: WholeEvents, on_cut: OnCut
    ) -> Ended:
        """Stream events whole, so that a break can be told to whoever reads them."""
        more = True
        while more:
            try:
                data = await connection.read(self._timeouts.idle)
            except RelayError as error:
                if self.client_gone:
                    return "client_gone"
                last = on_cut(error)
                if last is not None:
                    await self._send({"type": "http.response.body", "body": events.cut(last)})
                return "upstream_error"
            if observer is not None and data:
                observer.chunk(data)
            more = not connection.done
            data = events.feed(data) if more else events.feed(data) + events.rest()
            if data or not more:
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
            if self.client_gone:
                return "client_gone" if more else "complete"
        return "complete"

    def stop(self) -> None:
        """Stop sending the request."""
        if self._on_leave is not None:
            self._on_leave(None)
        if self._pump is not None:
            self._pump.cancel()

    def _left(self, connection: Connection) -> None:
        self.client_gone = True
        connection.fail(ClientGone("the client went away"))

    async def _send_body(self, connection: Connection) -> None:
        """Send the body as it comes, then watch for the client to go."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._left(connection)
                return
            if self.sent_all:
                continue
            body = message.get("body", b"")
            if self._chunked and body:
                connection.write(b"%x\r\n%b\r\n" % (len(body), body))
            elif body:
                connection.write(body)
            if not message.get("more_body", False):
                if self._chunked:
                    connection.write(b"0\r\n\r\n")
                self.sent_all = True
            await connection.drain()


def _end_to_end(connection: Connection) -> Headers:
    """Return the answer's headers without those of one connection, or of a body that it does not have."""
    dropped = HOP_BY_HOP | named_by_connection(connection.headers)
    if connection.status in {204, 304}:
        dropped |= _LENGTH
    return [pair for pair in connection.headers if pair[0] not in dropped]


def _is_events(headers: Headers) -> bool:
    """Tell whether an answer is a stream of events whose end nothing has promised yet."""
    values = dict(headers)
    return (
        values.get(b"content-type", b"").lower().startswith(b"text/event-stream")
        and b"content-length" not in values
        and values.get(b"content-encoding", b"identity") == b"identity"
    )


def without_hops(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return a message's headers (names in lower case) without what belongs to one connection only.

    Ask this of a client's headers before adding any: else its ``Connection`` header could name them.
    """
    pairs = list(headers)
    dropped = HOP_BY_HOP | named_by_connection(pairs)
    return [pair for pair in pairs if pair[0] not in dropped]


def named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """Return the names that a ``Connection`` header declares to be for one hop only."""
    named = [value for name, value in headers if name == b"connection"]
    if not named:
        return frozenset()
    return frozenset(item.strip().lower() for value in named for item in value.split(b",")) - _FRAMING
