"""One request and its answer on a server's connection, as an ASGI application sees them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from httprelay.answer import Answer
from httprelay.sinks import Sink

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from uvicorn._types import ASGI3Application

    from httprelay.server import BoundedHttpProtocol

BODY_FOLLOWS = "httprelay.body_follows"


class Cycle(Sink):
    """Sends an answer's head with the first piece of its body, at the latest in the loop's next turn.

    A ``http.response.start`` that says ``httprelay.body_follows`` promises that piece without a pause.
    """

    __slots__ = (
        "_answer",
        "_event",
        "_expects",
        "_flow",
        "_head",
        "_news",
        "_pieces",
        "_protocol",
        "_transport",
        "disconnected",
        "held",
        "more_body",
        "response_complete",
        "response_started",
        "scope",
        "task",
    )

    def __init__(
        self, protocol: BoundedHttpProtocol, scope: dict[str, Any], *, keep_alive: bool, expects: bool
    ) -> None:
        self._protocol, self.scope, self._expects = protocol, scope, expects
        self._transport, self._flow = protocol.transport, protocol.flow
        self._answer = Answer(scope["method"], scope["http_version"], keep_alive=keep_alive)
        self._head = b""
        self._pieces: list[bytes] = []
        self._event: asyncio.Event | None = None
        self._news = self.disconnected = self.response_started = self.response_complete = False
        self.held = 0
        self.more_body = True
        self.task: asyncio.Task[None] | None = None

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may go on after this answer."""
        return self._answer.keep_alive

    @keep_alive.setter
    def keep_alive(self, value: bool) -> None:
        self._answer.keep_alive = value

    async def run(self, app: ASGI3Application) -> None:
        """Have an application answer; where it does not, answer 500 or cut the connection."""
        try:
            await app(self.scope, self.receive, self.send)  # type: ignore[arg-type]  # a dictionary is a scope
            if not self.response_complete and not self.disconnected:
                self._protocol.logger.error("The application returned without a whole answer.")
                await self._fail()
        except BaseException:
            self._protocol.logger.exception("Exception in ASGI application\n")
            await self._fail()
        finally:
            self._protocol.tasks.discard(self.task)

    async def _fail(self) -> None:
        if self.response_started:
            self._transport.close()
            return
        text = b"Internal Server Error"
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
        headers.append((b"connection", b"close"))
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": text})

    # What the parser brings.
    def feed(self, data: bytes) -> None:
        """Take a piece of the request's body."""
        self._pieces.append(data)
        self.held += len(data)
        self.wake()

    def wake(self) -> None:
        """Let whoever waits for the request look again."""
        self._news = True
        if self._event is not None:
            self._event.set()

    # What the application calls.
    async def receive(self) -> MutableMapping[str, Any]:
        """Return the next piece of the request's body, or that the client is gone or answered."""
        if self._expects and not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._expects = False
        if not self.disconnected and not self.response_complete:
            self._flow.resume_reading()
            while not self._news:
                await self._wait()
            self._news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.held = 0
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def _wait(self) -> None:
        if self._event is None:
            self._event = asyncio.Event()
        self._event.clear()
        await self._event.wait()

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Take the application's next message.

        Raises:
            RuntimeError: it is not the next one.
            ValueError: it holds what may not be sent.

        """
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if self.response_complete:
            raise RuntimeError(f"{kind} came after the answer's end.")
        if kind == "http.response.body" and self.response_started:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.start" and not self.response_started:
            self._begin(message)
        else:
            raise RuntimeError(f"{kind} is not what comes next.")

    def offer(self, data: bytes) -> bool:
        """Send a piece of the body at once; return whether the client takes another one now.

        Raises:
            RuntimeError: the answer has not begun, or has ended.
            ValueError: the answer's head promised fewer bytes.

        """
        if self.disconnected:
            return True
        if self.response_complete or not self.response_started:
            raise RuntimeError("A piece of a body is not what comes next.")
        self._go_on(data, more=True)
        return not self._flow.write_paused

    async def ready(self) -> None:
        """Wait until the client takes another piece."""
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()

    def _begin(self, message: MutableMapping[str, Any]) -> None:
        headers = message.get("headers", ())
        defaults = self._protocol.server_state.default_headers
        self._head = self._answer.head(message["status"], [*defaults, *headers] if defaults else headers)
        self.response_started = True
        self._expects = False
        if not message.get(BODY_FOLLOWS):
            self._protocol.loop.call_soon(self._flush)

    def _go_on(self, body: bytes, *, more: bool) -> None:
        data = self._answer.piece(body, more=more)
        if self._head:
            data, self._head = self._head + data, b""
        if data:
            self._transport.write(data)
        if not more:
            self._complete()

    def _complete(self) -> None:
        self.response_complete = True
        self.wake()
        if not self._answer.keep_alive:
            self._transport.close()
        self._protocol.on_response_complete()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)
