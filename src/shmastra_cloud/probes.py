"""What a web process says of itself, without a framework: ``/health``, ``/ready`` and ``/metrics``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmastra_cloud.rim import send_json

if TYPE_CHECKING:
    from shmastra_cloud.readiness import Readiness
    from shmastra_cloud.telemetry import Metrics
    from shmastra_cloud.web_process import Asgi, Receive, Scope, Send


class Probes:
    """Answers the probes and passes everything else on; ``metrics`` is None where none are wanted."""

    def __init__(self, rest: Asgi, ready: Readiness, metrics: Asgi | None = None) -> None:
        self._rest, self._ready, self._metrics = rest, ready, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        asked = scope["path"] if scope["type"] == "http" and scope["method"] == "GET" else ""
        if asked == "/health":
            return await send_json(send, 200, {"status": "ok"})
        if asked == "/ready":
            alone = scope["query_string"] == b"of=web"
            status, told = self._ready.process() if alone else await self._ready.answer()
            return await send_json(send, status, told)
        if asked == "/metrics" and self._metrics is not None:
            return await self._metrics(scope, receive, send)
        return await self._rest(scope, receive, send)


class OwnProbes:
    """Answers the processes beside this one, and who started it: over a socket that nobody else can open."""

    def __init__(self, metrics: Metrics | None) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] == "/health":
            return await send_json(send, 200, {"status": "ok"})
        if scope["path"] == "/metrics" and self._metrics is not None:
            return await self._metrics.own(scope, receive, send)
        return await nothing(scope, receive, send)


async def nothing(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer that there is nothing here."""
    if scope["type"] == "http":
        text = "There is nothing under this path: the gateway is served alone."
        await send_json(send, 404, {"error": text, "code": "not_found"})
