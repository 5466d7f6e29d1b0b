"""Everything that watches one web process, put together from its configuration; what is off is not there."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shmastra_cloud.telemetry.counts import Counts
from shmastra_cloud.telemetry.metrics import Metrics
from shmastra_cloud.telemetry.seen import Seeing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shmastra_cloud.database import Notifications
    from shmastra_cloud.gateway import (
        BatchWriter,
        Gateway,
        GatewayError,
        KeyCache,
        Provider,
        UsageRow,
        UsageSink,
    )
    from shmastra_cloud.settings import Settings
    from shmastra_cloud.telemetry.database import Asked
    from shmastra_cloud.telemetry.exposition import State
    from shmastra_cloud.telemetry.spans import Spans
    from shmastra_cloud.web_process import Asgi, Receive, Scope, Send

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
DISABLED = "OTEL_SDK_DISABLED"
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@dataclass(frozen=True)
class Watched:
    """The parts of a process whose state is told."""

    gateway: Gateway
    keys: KeyCache
    usage: BatchWriter
    notifications: Notifications
    database: Asked


class Telemetry:
    """Metrics where a token is set, spans where an endpoint is; neither costs anything where it is not."""

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], providers: Mapping[str, Provider]
    ) -> None:
        self._settings, self._token = settings, settings.metrics_token
        self._counts = None if self._token is None else Counts()
        self._spans = _spans(environ, providers)
        self._content = is_true(environ, CONTENT)

    @property
    def refused(self) -> Callable[[str | None, GatewayError], None] | None:
        """What the gateway tells of each request that it does not send on."""
        return None if self._counts is None else self._counts.refused

    def sink(self, first: UsageSink) -> UsageSink:
        """Return a sink that hands rows to ``first`` and to whatever else wants them."""
        others: list[UsageSink] = [one for one in (self._counts, self._spans) if one is not None]
        return FanOut(first, others) if others else first

    def around(self, gateway: Asgi) -> Asgi:
        """Return the gateway with what has to go around it."""
        if self._spans is not None:
            gateway = Seeing(gateway, content=self._content)
        return gateway if self._counts is None else _Open(gateway, self._counts)

    def metrics(self, watched: Watched) -> Metrics | None:
        """Return what answers ``GET /metrics``, or None where no token is set."""
        if self._token is None or self._counts is None:
            return None

        async def state() -> State:
            return await state_of(watched)

        from shmastra_cloud.telemetry.siblings import siblings_of

        return Metrics(self._token.get_secret_value(), self._counts, state, siblings_of(self._settings))

    async def aclose(self) -> None:
        """Send the last spans."""
        if self._spans is not None:
            await self._spans.aclose()


class FanOut:
    """A usage sink of several; the first is the one that must have every row."""

    def __init__(self, first: UsageSink, others: list[UsageSink]) -> None:
        self._first, self._others = first, others

    def record(self, row: UsageRow) -> None:
        """Hand a row to all; what only watches cannot fail a call."""
        self._first.record(row)
        for sink in self._others:
            try:
                sink.record(row)
            except Exception as error:  # noqa: BLE001 -- whatever a library's own kind of failure is
                log.warning("a call is missing in the telemetry (%s)", type(error).__name__)


class _Open:
    """Counts the calls that have not ended."""

    def __init__(self, app: Asgi, counts: Counts) -> None:
        self._app, self._counts = app, counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._counts.open += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._counts.open -= 1


async def state_of(watched: Watched) -> State:
    """Return what a process is like now."""
    from shmastra_cloud.telemetry.exposition import State

    told = await watched.database.answer()
    return State(
        connections=watched.gateway.connections,
        keys=watched.keys.sizes,
        keys_degraded=watched.keys.degraded,
        rows_queued=watched.usage.queued,
        rows_lost=watched.usage.lost,
        database=told.up,
        notifications=watched.notifications.connected,
        sandboxes=told.sandboxes,
    )


def is_true(environ: Mapping[str, str], name: str) -> bool:
    """Tell whether a variable says ``true``, as OpenTelemetry's specification reads it."""
    return environ.get(name, "").strip().lower() == "true"


def _spans(environ: Mapping[str, str], providers: Mapping[str, Provider]) -> Spans | None:
    if is_true(environ, DISABLED) or not any(environ.get(name) for name in ENDPOINTS):
        return None
    from shmastra_cloud.telemetry.spans import Spans

    return Spans(
        {
            provider.name: (provider.target.host, provider.target.port)
            for provider in providers.values()
            if provider.target.unix_socket is None
        }
    )
