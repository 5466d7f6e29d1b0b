"""``GET /metrics``, for who has the token; where none is set there is no such path."""

from __future__ import annotations

import asyncio
import hmac
from typing import TYPE_CHECKING

from shmastra_cloud.rim import send_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shmastra_cloud.telemetry.counts import Counts
    from shmastra_cloud.telemetry.exposition import State
    from shmastra_cloud.telemetry.siblings import Siblings
    from shmastra_cloud.web_process import Receive, Scope, Send


class Metrics:
    """Answers ``GET /metrics``; one scrape at a time is formatted, off the event loop.

    With ``siblings`` it answers for all web processes of this machine, and :meth:`own` for this one.
    """

    def __init__(
        self,
        token: str,
        counts: Counts,
        state: Callable[[], Awaitable[State]],
        siblings: Siblings | None = None,
    ) -> None:
        self._token = token.encode()
        self._counts, self._state, self._siblings = counts, state, siblings
        self._formatting = asyncio.Lock()

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        if not self._may(scope):
            text = "Send the token of SHMASTRA_METRICS_TOKEN as bearer."
            await send_json(send, 401, {"error": text, "code": "wrong_token"})
            return
        async with self._formatting:
            body = await (self._text() if self._siblings is None else self._all(self._siblings))
        await _answer(send, body)

    async def own(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer for this process alone, on a socket that only its siblings can open."""
        await _answer(send, await self._text())

    def _may(self, scope: Scope) -> bool:
        told = [value.partition(b" ") for name, value in scope["headers"] if name == b"authorization"]
        if len(told) != 1 or told[0][0].lower() != b"bearer":
            return False
        return hmac.compare_digest(told[0][2].strip(), self._token)

    async def _text(self) -> bytes:
        from shmastra_cloud.telemetry.exposition import Exposition

        exposition = Exposition(self._counts, await self._state())
        return await asyncio.to_thread(exposition.text)

    async def _all(self, siblings: Siblings) -> bytes:
        from shmastra_cloud.telemetry.siblings import merged

        own, others = await asyncio.gather(self._text(), siblings.texts())
        return await asyncio.to_thread(merged, siblings.number, {siblings.number: own, **others})


async def _answer(send: Send, body: bytes) -> None:
    from shmastra_cloud.telemetry.exposition import CONTENT_TYPE

    headers = [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    headers.append((b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
