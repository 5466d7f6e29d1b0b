"""An answer on its way to a client: edited where it is to be, and no further than its money reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from httprelay import Sink, sink_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from shmastra_cloud.gateway.answers import Edit
    from shmastra_cloud.gateway.running import Running

    Message = MutableMapping[str, Any]
    Send = Callable[[Message], Awaitable[None]]
    End = Callable[[Send], Awaitable[None]]


def edited(send: Send, edit: Edit | None, running: Running | None, end: End) -> Send:
    """Return a ``send`` that passes an answer on edited; a sink's own where ``send`` is one's.

    ``end`` is called with ``send``, and raises, when nothing more can be reserved for the answer.
    """
    sink = sink_of(send)
    if sink is None:
        return _Edited(send, edit, running, end).send
    return _EditedSink(sink, edit, running, end).send


class _Edited:
    __slots__ = ("_edit", "_end", "_running", "_send")

    def __init__(self, send: Send, edit: Edit | None, running: Running | None, end: End) -> None:
        self._send, self._edit, self._running, self._end = send, edit, running, end

    async def send(self, message: Message) -> None:
        """Pass a message on edited; after a piece of the body, see that it is paid for."""
        more = message.get("more_body", False)
        if self._edit is not None and message["type"] == "http.response.body":
            message["body"] = self._edit.feed(message.get("body", b""), last=not more)
            if more and not message["body"]:
                return
        await self._send(message)
        if more:
            await self._pay()

    async def _pay(self) -> None:
        running = self._running
        if running is not None and not running.fits and not await running.extend():
            await self._end(self._send)


class _EditedSink(_Edited, Sink):
    __slots__ = ("_sink",)

    def __init__(self, sink: Sink, edit: Edit | None, running: Running | None, end: End) -> None:
        super().__init__(sink.send, edit, running, end)
        self._sink = sink

    def offer(self, data: bytes) -> bool:
        """Send a piece on edited; False also where it is not paid for yet."""
        if self._edit is not None:
            data = self._edit.feed(data, last=False)
            if not data:
                return True
        takes = self._sink.offer(data)
        return takes and (self._running is None or self._running.fits)

    async def ready(self) -> None:
        """Wait until the client takes more, and what it took is paid for."""
        await self._sink.ready()
        await self._pay()
