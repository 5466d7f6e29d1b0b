"""Spans through OpenTelemetry's SDK; the only module that loads it.

A span is made when a call has ended and given to the SDK's own thread, which sends batches. That thread waits
and tries again by itself; while nobody takes them, the queue's oldest spans are dropped.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shmastra_cloud.telemetry.attributes import attributes, failure, span_name
from shmastra_cloud.telemetry.seen import CURRENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shmastra_cloud.gateway import UsageRow

log = logging.getLogger(__name__)

SERVICE = "shmastra-cloud"
QUIET_SECONDS = 60.0
CLOSE_SECONDS = 3.0


class Spans:
    """A usage sink that makes one client span of each call; ``places`` are the providers' addresses."""

    def __init__(self, places: Mapping[str, tuple[str, int]]) -> None:
        _hush()
        self._places = places
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("shmastra_cloud.gateway")
        self._propagator = TraceContextTextMapPropagator()

    def record(self, row: UsageRow) -> None:
        """Make a call's span."""
        seen = CURRENT.get()
        ended_ns = time.time_ns()
        began_ns = ended_ns - row.duration_ms * 1_000_000 if seen is None else seen.began_ns
        span = self._tracer.start_span(
            span_name(row, seen.path if seen else b""),
            None if seen is None else self._propagator.extract(seen.trace_headers),
            SpanKind.CLIENT,
            attributes(row, seen, self._places.get(row.provider)),
            start_time=began_ns,
        )
        wrong = failure(row)
        if wrong is not None:
            span.set_status(Status(StatusCode.ERROR, wrong))
        span.end(ended_ns)

    async def aclose(self) -> None:
        """Send what is left, within a few seconds; call it when no calls are left."""
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def close() -> None:
            self._provider.shutdown()
            _tell(loop, done)

        threading.Thread(target=close, name="spans-closing", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await done.wait()
        except TimeoutError:
            log.warning("the last spans could not be sent in %.0f s", CLOSE_SECONDS)


def _tell(loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(done.set)
    except RuntimeError:
        log.debug("the process did not wait for the last spans")


def _resource() -> Resource:
    """Return who makes the spans; the standard variables win over our name."""
    named = os.environ.get(OTEL_SERVICE_NAME) or SERVICE_NAME in os.environ.get(OTEL_RESOURCE_ATTRIBUTES, "")
    return Resource.create({} if named else {SERVICE_NAME: SERVICE})


class _OncePerMinute(logging.Handler):
    """Passes the library's complaints on, one a minute at most: an exporter that is down has many."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.WARNING)
        self._clock, self._next, self._held_back = clock, float("-inf"), 0

    def emit(self, record: logging.LogRecord) -> None:
        """Log a complaint, or count it."""
        if self._clock() < self._next:
            self._held_back += 1
            return
        self._next = self._clock() + QUIET_SECONDS
        log.warning("%s (%d more were held back)", record.getMessage(), self._held_back)
        self._held_back = 0


def _hush() -> None:
    """Have all loggers of the library speak through one that seldom does."""
    theirs = logging.getLogger("opentelemetry")
    theirs.handlers = [_OncePerMinute()]
    theirs.propagate = False
