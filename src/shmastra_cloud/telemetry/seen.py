"""What is seen of a call for its span, from outside the gateway: only while spans are made."""

from __future__ import annotations

import time
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    from shmastra_cloud.web_process import Asgi, Receive, Scope, Send

HEAD_BYTES = 4 * 1024
TAIL_BYTES = 8 * 1024
TAIL_PIECES = 4
CONTENT_BYTES = 256 * 1024  # what is not longer can be parsed


class Seen:
    """One call: when it began, what it asked for, and the ends of its answer.

    ``content`` says that whole bodies are kept too, as far as ``CONTENT_BYTES``; a longer one is None.
    """

    def __init__(self, scope: Scope, *, content: bool) -> None:
        self.began_ns = time.time_ns()
        self.path: bytes = scope.get("raw_path") or b""
        self._headers = scope["headers"]
        self._head: list[bytes] = []
        self._head_room = HEAD_BYTES
        self._tail: deque[bytes] = deque(maxlen=TAIL_PIECES)
        self._question = _Kept() if content else None
        self._answer = _Kept() if content else None

    @property
    def trace_headers(self) -> dict[str, str]:
        """The headers that say which trace a call belongs to; whoever reads them has to check them."""
        wanted = (b"traceparent", b"tracestate")
        return {name.decode(): value.decode("latin-1") for name, value in self._headers if name in wanted}

    @property
    def head(self) -> bytes:
        """The beginning of the answer."""
        return b"".join(self._head)[:HEAD_BYTES]

    @property
    def tail(self) -> bytes:
        """The end of the answer."""
        return b"".join(self._tail)[-TAIL_BYTES:]

    @property
    def question(self) -> bytes | None:
        """The request's body, where it is kept and not too long."""
        return None if self._question is None else self._question.whole

    @property
    def answer(self) -> bytes | None:
        """The answer's body, where it is kept and not too long."""
        return None if self._answer is None else self._answer.whole

    def receiving(self, receive: Receive) -> Receive:
        """Return a ``receive`` that keeps what the client says, or the same where nothing is kept."""
        kept = self._question
        if kept is None:
            return receive

        async def seeing() -> MutableMapping[str, Any]:
            message = await receive()
            kept.add(message.get("body", b""))
            return message

        return seeing

    def sending(self, send: Send) -> Send:
        """Return a ``send`` that keeps the ends of what is answered."""

        async def seeing(message: MutableMapping[str, Any]) -> None:
            body = message.get("body", b"")
            if body:
                self._see(body)
            await send(message)

        return seeing

    def _see(self, body: bytes) -> None:
        if self._head_room > 0:
            self._head.append(body[: self._head_room])
            self._head_room -= len(body)
        self._tail.append(body[-TAIL_BYTES:])
        if self._answer is not None:
            self._answer.add(body)


class _Kept:
    """A body, as long as it is short enough."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._room = CONTENT_BYTES

    def add(self, piece: bytes) -> None:
        self._room -= len(piece)
        if self._room < 0:
            self._pieces.clear()
        else:
            self._pieces.append(piece)

    @property
    def whole(self) -> bytes | None:
        return None if self._room < 0 else b"".join(self._pieces)


CURRENT: ContextVar[Seen | None] = ContextVar("shmastra_call", default=None)


class Seeing:
    """Goes around the gateway; what it sees of a call is there when the call's usage is recorded."""

    def __init__(self, app: Asgi, *, content: bool) -> None:
        self._app, self._content = app, content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one call on; a WebSocket carries many, each timed by its own row, so nothing is seen of it."""
        if scope["type"] == "websocket":
            return await self._app(scope, receive, send)
        seen = Seen(scope, content=self._content)
        token = CURRENT.set(seen)
        try:
            return await self._app(scope, seen.receiving(receive), seen.sending(send))
        finally:
            CURRENT.reset(token)
