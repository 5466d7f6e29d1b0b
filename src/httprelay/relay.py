"""One request relayed: streamed both ways, cancelled both ways, buffered nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from httprelay.cycle import BODY_FOLLOWS
from httprelay.errors import ClientGone, RelayError, UpstreamClosed
from httprelay.events import WholeEvents
from httprelay.headers import Headers, end_to_end, is_events
from httprelay.request import body_framing, request_head
from httprelay.sinks import sink_of

if TYPE_CHECKING:
    from httprelay.connection import Connection
    from httprelay.open_streams import OpenStream
    from httprelay.pool import Pool, Target
    from httprelay.sinks import Sink

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Ended = Literal["complete", "client_gone", "upstream_error"]
OnResponse = Callable[[int, Headers], Headers]
OnCut = Callable[[RelayError], bytes | None]
Through = Callable[[Send], Send]


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
    through: Through | None = None,
    observer: Observer | None = None,
    body: bytes | None = None,
    timeouts: Timeouts = Timeouts(),
    stream: OpenStream | None = None,
) -> Ended:
    """Send a request on to ``path`` (with its query) of ``target`` and stream the answer back.

    ``headers`` are sent as they are, without what belongs to one connection only; a ``host`` among
    them is used in place of the target's own. ``on_response`` may edit the answer's headers. ``on_cut``
    gives the last events of a ``text/event-stream`` that breaks once begun; where it gives none, and for
    any other answer, the connection is cut. ``through`` is asked after ``on_response`` and returns the
    ``send`` that the answer goes through, such as one that edits it; where it belongs to a :class:`Sink`,
    pieces of the body go on without waiting for this task's turn. ``body`` is the request's, where it was
    read whole already.
    ``stream`` is what the exchange can be cut by, as if its upstream had broken off.

    Raises:
        RelayError: no response has begun; the caller answers.

    """
    exchange = _Exchange(scope, receive, send, body, timeouts, stream)
    head = request_head(scope["method"], path, headers, target.authority, exchange.framing)
    connection = pool.take(target)
    reused = connection is not None
    if connection is None:
        connection = await pool.connect(target, timeouts.connect)
    reusable = False
    try:
        try:
            await exchange.ask(connection, head)
        except UpstreamClosed:
            if not (reused and exchange.repeatable):
                raise
            pool.give_back(target, connection, reusable=False)
            connection = None
            connection = await pool.connect(target, timeouts.connect)
            await exchange.ask(connection, head)
        ended = await exchange.answer(on_response, on_cut, through, observer)
        reusable = ended == "complete" and exchange.sent_all
    except RelayError as error:
        error.consumed = exchange.framing.has_body
        raise
    else:
        return ended
    finally:
        exchange.stop()
        if stream is not None:
            stream.untie()
        if connection is not None:
            pool.give_back(target, connection, reusable=reusable)


class _Exchange:
    """A request on its way, and what is known of its client."""

    def __init__(  # noqa: PLR0913, PLR0917 -- an exchange has this many parts
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        body: bytes | None,
        timeouts: Timeouts,
        stream: OpenStream | None,
    ) -> None:
        self._scope, self._receive, self._send, self._timeouts = scope, receive, send, timeouts
        self._on_leave: Callable[[Callable[[], None] | None], None] | None = scope.get("httprelay.on_leave")
        self._body_read, self._stream = body, stream
        self._connection: Connection
        self._pump: asyncio.Task[None] | None = None
        self._observer: Observer | None = None
        self._events: WholeEvents | None = None
        self._full = False
        self.framing = body_framing(scope["headers"], body)
        self.sent_all = False
        self.client_gone = False

    @property
    def repeatable(self) -> bool:
        """Whether asking twice does no more than asking once."""
        return (
            not self.framing.has_body
            and self._scope["method"] in ("GET", "HEAD", "OPTIONS")
            and not self.client_gone
        )

    async def ask(self, connection: Connection, head: bytes) -> None:
        """Send the request and wait for the head of the response."""
        self._connection = connection
        if self._stream is not None:
            self._stream.tie(connection.fail)
        connection.begin(is_head=self._scope["method"] == "HEAD")
        connection.write(head + self._body_read if self._body_read else head)
        self.sent_all = self._body_read is not None or not self.framing.has_body
        if self.sent_all and self._on_leave is not None:
            self._on_leave(self._left)
        else:
            self.stop()
            self._pump = asyncio.ensure_future(self._send_body(connection))
            self._pump.add_done_callback(self._sent)
        await connection.read_head(self._timeouts.first_byte)

    async def answer(
        self,
        on_response: OnResponse | None,
        on_cut: OnCut | None,
        through: Through | None,
        observer: Observer | None,
    ) -> Ended:
        """Stream the response to the client."""
        ended: Ended = "client_gone"
        answer, self._observer = self._connection.answer, observer
        try:
            headers = end_to_end(answer.status, answer.headers)
            if on_cut is not None and is_events(headers):
                self._events = WholeEvents()
            if on_response is not None:
                headers = on_response(answer.status, headers)
            if through is not None:
                self._send = through(self._send)
            start: MutableMapping[str, Any]
            start = {"type": "http.response.start", "status": answer.status, "headers": headers}
            if answer.done:
                start[BODY_FOLLOWS] = True
            await self._send(start)
            ended = await self._body(on_cut)
        finally:
            if observer is not None:
                observer.end(ended)
        return ended

    async def _body(self, on_cut: OnCut | None) -> Ended:
        connection, answer, more = self._connection, self._connection.answer, True
        sink = None if answer.done else sink_of(self._send)
        taker = None if sink is None else partial(self._pass_on, sink)
        while more:
            if self._full and sink is not None:
                await sink.ready()
                self._full = False
            elif not answer.buffered and not answer.done:
                try:
                    await connection.wait(self._timeouts.idle, taker)
                except RelayError as error:
                    return await self._break(error, on_cut)
            else:
                more = not answer.done
                data = self._next()
                if more and sink is not None:
                    self._full = bool(data) and not sink.offer(data)
                elif data or not more:
                    await self._send({"type": "http.response.body", "body": data, "more_body": more})
            if self.client_gone:
                return "client_gone" if more else "complete"
        return "complete"

    def _pass_on(self, sink: Sink) -> bool:
        """Send what has just arrived from the call that brings it; False where the task has to go on.

        What is not sent here stays in ``answer``, so that nothing is lost and nothing overtakes.
        """
        answer = self._connection.answer
        if self._full or answer.done:
            return False
        data = self._next() if answer.buffered else b""
        self._full = bool(data) and not sink.offer(data)
        return not self._full

    async def _break(self, error: RelayError, on_cut: OnCut | None) -> Ended:
        """End a response that will not be whole.

        Returning without an end makes the server cut the connection: the client sees that it broke.
        """
        if self.client_gone:
            return "client_gone"
        last = on_cut(error) if on_cut is not None and self._events is not None else None
        if last is not None and self._events is not None:
            await self._send({"type": "http.response.body", "body": self._events.cut(last)})
        return "upstream_error"

    def _next(self) -> bytes:
        """Take what has arrived; events go on whole, so that a break can be told to whoever reads them."""
        data, events = self._connection.take(), self._events
        if self._observer is not None and data:
            self._observer.chunk(data)
        if events is None:
            return data
        return events.feed(data) + events.rest() if self._connection.answer.done else events.feed(data)

    def stop(self) -> None:
        """Stop sending the request."""
        if self._on_leave is not None:
            self._on_leave(None)
        if self._pump is not None:
            self._pump.cancel()

    def _left(self) -> None:
        self.client_gone = True
        self._connection.fail(ClientGone("the client went away"))

    def _sent(self, pump: asyncio.Task[None]) -> None:
        error = None if pump.cancelled() else pump.exception()
        if error is not None:
            failure = UpstreamClosed("the request's body could not be read")
            failure.__cause__ = error
            self._connection.fail(failure)

    async def _send_body(self, connection: Connection) -> None:
        """Send the body as it comes, then watch for the client to go."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._left()
                return
            if self.sent_all:
                continue
            body = message.get("body", b"")
            if self.framing.chunked and body:
                connection.write(b"%x\r\n%b\r\n" % (len(body), body))
            elif body:
                connection.write(body)
            if not message.get("more_body", False):
                if self.framing.chunked:
                    connection.write(b"0\r\n\r\n")
                self.sent_all = True
            await connection.drain()
