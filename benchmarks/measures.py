"""What is measured of one server, each as samples by the name of a measure."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import close_ms, requests, streams, times_ms
from benchmarks.stage import NAME, Server

CONNECTIONS = 64
PACE_MS = 10
SLOW_PACE_MS = 1000
CLOSE_SECONDS = 5

# By measure: what it is called, and its unit.
MEASURES = {
    "cpu_request": ("CPU per request", "us"),
    "rate": ("requests per second", "1/s"),
    "busy": ("of the core in use then", "x"),
    "added_p50": ("added latency, p50", "ms"),
    "added_p99": ("added latency, p99", "ms"),
    "cpu_event": ("CPU per event of a stream", "us"),
    "delivered": ("events delivered of those due", "x"),
    "memory": ("memory when idle", "MB"),
    "memory_streams": ("memory with slow streams open", "MB"),
    "memory_thousand": ("memory per 1,000 slow streams", "MB"),
    "close_p50": ("client gone to provider's connection closed, p50", "ms"),
    "close_worst": ("client gone to provider's connection closed, worst", "ms"),
}


@dataclass(frozen=True)
class Amount:
    """How much of everything a server is given."""

    seconds: int
    single: int
    streams: int
    leaving: int
    slow_streams: int


FULL = Amount(seconds=6, single=2000, streams=100, leaving=200, slow_streams=2000)
BRIEF = Amount(seconds=10, single=200, streams=10, leaving=20, slow_streams=200)


@dataclass
class Samples:
    """Samples by server and measure, and why some are missing."""

    values: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    notes: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, server: str, measure: str, *values: float) -> None:
        assert measure in MEASURES, measure
        self.values[server, measure] += values

    def median(self, server: str, measure: str) -> float | None:
        found = self.values.get((server, measure))
        return statistics.median(found) if found else None

    @contextlib.contextmanager
    def attempt(self, server: Server, *measures: str) -> Iterator[None]:
        """Note why a peer could not do something, and go on; the gateway has to do everything."""
        try:
            yield
        except (OSError, AssertionError) as error:  # TimeoutError is among them
            if server.name == NAME:
                raise
            for measure in measures:
                self.notes[server.name, measure] = f"failed: {str(error) or type(error).__name__}"[:200]


def whole_requests(samples: Samples, server: Server, amount: Amount, folder: Path) -> None:
    """CPU a request, requests a second and how much of the core they took, with 64 connections."""
    with samples.attempt(server, "cpu_request", "rate"):
        used, at = server.running.cpu_seconds(), time.monotonic()
        run = requests(server, folder, connections=CONNECTIONS, seconds=amount.seconds)
        used, took = server.running.cpu_seconds() - used, time.monotonic() - at
        assert run.count, f"no request was answered in {amount.seconds} s"
        assert run.failed == 0, f"{run.failed} requests failed, {run.count} did not"
        samples.add(server.name, "cpu_request", used / run.count * 1e6)
        samples.add(server.name, "rate", run.a_second)
        samples.add(server.name, "busy", used / took)


def latency(samples: Samples, server: Server, direct: Server, amount: Amount) -> None:
    """What the server adds to one request after the other, beside the provider asked without it."""
    with samples.attempt(server, "added_p50", "added_p99"):
        bare, relayed = times_ms(direct, amount.single), times_ms(server, amount.single)
        for measure, at in (("added_p50", 50), ("added_p99", 99)):
            cuts = (statistics.quantiles(times, n=100)[at - 1] for times in (relayed, bare))
            samples.add(server.name, measure, next(cuts) - next(cuts))


def per_event(samples: Samples, server: Server, amount: Amount) -> None:
    """CPU an event of streams that bring one every 10 ms, and how many of those came."""

    async def measured() -> None:
        async with streams(server, amount.streams, PACE_MS) as readers:
            await asyncio.sleep(1)
            used, at = server.running.cpu_seconds(), time.monotonic()
            seen = sum(reader.events for reader in readers)
            await asyncio.sleep(amount.seconds)
            used, took = server.running.cpu_seconds() - used, time.monotonic() - at
            seen = sum(reader.events for reader in readers) - seen
            assert seen, "no event came"
            samples.add(server.name, "cpu_event", used / seen * 1e6)
            samples.add(server.name, "delivered", seen / (amount.streams * took * 1000 / PACE_MS))

    with samples.attempt(server, "cpu_event", "delivered"):
        asyncio.run(measured())


def slow_streams(samples: Samples, server: Server, amount: Amount) -> None:
    """Memory with streams open that bring an event a second."""

    async def measured() -> None:
        before = server.running.pss_mb()
        async with streams(server, amount.slow_streams, SLOW_PACE_MS):
            await asyncio.sleep(3)
            after = server.running.pss_mb()
        samples.add(server.name, "memory", before)
        samples.add(server.name, "memory_streams", after)
        samples.add(server.name, "memory_thousand", (after - before) / amount.slow_streams * 1000)

    with samples.attempt(server, "memory", "memory_streams", "memory_thousand"):
        asyncio.run(measured())


def leaving(samples: Samples, server: Server, amount: Amount, *, log: Path) -> None:
    """From a client's leaving until the provider's connection is closed."""

    async def measured() -> list[float]:
        closed: list[float] = []
        for at in range(amount.leaving):
            taken = await close_ms(server, at, log, CLOSE_SECONDS)
            assert taken is not None, f"the provider's connection was still open after {CLOSE_SECONDS} s"
            closed.append(taken)
        return closed

    with samples.attempt(server, "close_p50", "close_worst"):
        closed = asyncio.run(measured())
        samples.add(server.name, "close_p50", statistics.median(closed))
        samples.add(server.name, "close_worst", max(closed))
