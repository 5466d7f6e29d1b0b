"""An answer that is looked through as a whole before its user sees any of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shmastra_cloud.gateway.errors import UpstreamUnusable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Send = Callable[[Message], Awaitable[None]]

MAX_ANSWER_BYTES = 8 * 1024 * 1024


class Trimmed:
    """Holds a successful answer until it is whole and sends what ``trim`` leaves of it; errors pass."""

    def __init__(self, trim: Callable[[bytes], bytes], send: Send) -> None:
        self._trim, self._send = trim, send
        self._start: Message | None = None
        self._held = bytearray()

    async def send(self, message: Message) -> None:
        """Take a message of the answer.

        Raises:
            UpstreamUnusable: nothing can be told of the answer, or it is too long; nothing was sent.

        """
        if message["type"] == "http.response.start" and message["status"] < 300:
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            await self._take(self._start, message)

    async def _take(self, start: Message, message: Message) -> None:
        self._held += message.get("body", b"")
        if len(self._held) > MAX_ANSWER_BYTES:
            raise UpstreamUnusable("The answer is too long to be looked through; ask for a shorter page.")
        if message.get("more_body", False):
            return
        try:
            body = self._trim(bytes(self._held))
        except (ValueError, TypeError) as error:
            raise UpstreamUnusable("The answer has a form in which nothing can be kept apart.") from error
        headers = [pair for pair in start["headers"] if pair[0] != b"content-length"]
        await self._send({**start, "headers": [*headers, (b"content-length", b"%d" % len(body))]})
        await self._send({"type": "http.response.body", "body": body})
