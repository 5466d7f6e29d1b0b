"""The gateway beside nginx: ``python -m benchmarks.gateway [--seconds N] [--rounds N]``."""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import time
from typing import Any

from benchmarks.load import head, latency_p50_ms, requests, streams
from benchmarks.results import figure, write
from benchmarks.stage import Server, Stage, stage

CONNECTIONS = 64
STREAMS = 100
SLOW_STREAMS = 2000
LEAVINGS = 200


def per_request(here: Stage, rounds: int, seconds: int) -> list[dict[str, Any]]:
    """CPU a request and requests a second, runs of both servers interleaved."""
    cost: dict[str, list[float]] = {"shmastra": [], "nginx": []}
    rate: dict[str, list[float]] = {"shmastra": [], "nginx": []}
    for server in (here.ours, here.nginx):
        requests(server, here.keys, here.folder, connections=CONNECTIONS, seconds=1)
    for _ in range(rounds):
        for server in (here.ours, here.nginx):
            before = server.cpu_seconds()
            count, a_second = requests(
                server, here.keys, here.folder, connections=CONNECTIONS, seconds=seconds
            )
            cost[server.name].append((server.cpu_seconds() - before) / count * 1e6)
            rate[server.name].append(a_second)
    ours, theirs = (statistics.median(cost[name]) for name in ("shmastra", "nginx"))
    fast, faster = (statistics.median(rate[name]) for name in ("shmastra", "nginx"))
    return [
        figure("gateway, CPU per request, authenticated and metered", ours, "us", "<= 70"),
        figure("nginx, the same job", theirs, "us"),
        figure("gateway, requests per second of one core", fast, "1/s"),
        figure("nginx, requests per second of one core", faster, "1/s"),
        figure("gateway's requests per second as a part of nginx's", fast / faster, "x", ">= 0.5"),
    ]


async def _per_event(server: Server, keys: list[str], seconds: int) -> float:
    async with streams(server, keys, STREAMS, 10) as readers:
        await asyncio.sleep(1)
        before, seen = server.cpu_seconds(), sum(reader.events for reader in readers)
        await asyncio.sleep(seconds)
        used = server.cpu_seconds() - before
        return used / (sum(reader.events for reader in readers) - seen) * 1e6


def per_event(here: Stage, rounds: int, seconds: int) -> list[dict[str, Any]]:
    """CPU an event of 100 streams that bring one every 10 ms."""
    cost: dict[str, list[float]] = {"shmastra": [], "nginx": []}
    for _ in range(rounds):
        for server in (here.ours, here.nginx):
            cost[server.name].append(asyncio.run(_per_event(server, here.keys, seconds)))
    ours, theirs = (statistics.median(cost[name]) for name in ("shmastra", "nginx"))
    return [
        figure("gateway, CPU per event of a stream", ours, "us"),
        figure("nginx, CPU per event of a stream", theirs, "us"),
        figure("gateway's CPU per event as a multiple of nginx's", ours / theirs, "x", "<= 1.5"),
    ]


def latency(here: Stage, rounds: int) -> list[dict[str, Any]]:
    """What each server adds to one request after the other."""
    found: dict[str, list[float]] = {"shmastra": [], "nginx": [], "direct": []}
    for _ in range(rounds):
        for server in (here.ours, here.nginx, here.direct):
            found[server.name].append(latency_p50_ms(server, here.keys[0], 2000))
    median = {name: statistics.median(values) for name, values in found.items()}
    return [
        figure("gateway, added latency, p50", median["shmastra"] - median["direct"], "ms", "<= 0.3"),
        figure("nginx, added latency, p50", median["nginx"] - median["direct"], "ms"),
    ]


async def _slow(server: Server, keys: list[str]) -> tuple[float, float]:
    before = server.rss_mb()
    async with streams(server, keys, SLOW_STREAMS, 1000):
        await asyncio.sleep(3)
        return server.rss_mb() - before, server.rss_mb()


def slow_streams(here: Stage) -> list[dict[str, Any]]:
    """Memory of 2,000 streams that bring an event a second."""
    rows = []
    for server, target in ((here.ours, "<= 90"), (here.nginx, "")):
        grown, whole = asyncio.run(_slow(server, here.keys))
        rows += [
            figure(f"{server.name}, memory that {SLOW_STREAMS} slow streams take", grown, "MB", target),
            figure(f"{server.name}, whole resident memory with them", whole, "MB"),
        ]
    return rows


async def _leave(here: Stage) -> list[float]:
    taken = []
    for at in range(LEAVINGS):
        seen = here.closings.read_text().count("closed")
        data = head(here.ours, here.keys[at % len(here.keys)], '{"model":"m","stream":true}', 5)
        reader, writer = await asyncio.open_connection("127.0.0.1", here.ours.port)
        writer.write(data)
        await reader.readuntil(b"data: ")
        left = time.monotonic()
        writer.transport.abort()
        while here.closings.read_text().count("closed") == seen:
            await asyncio.sleep(0.002)
        taken.append((float(here.closings.read_text().split()[-1]) - left) * 1000)
    return sorted(taken)


def leaving(here: Stage) -> list[dict[str, Any]]:
    """From a client's leaving until the provider's connection is closed."""
    taken = asyncio.run(_leave(here))
    return [
        figure("client gone to provider's connection closed, p50", statistics.median(taken), "ms", "<= 50"),
        figure(f"client gone to provider's connection closed, worst of {LEAVINGS}", taken[-1], "ms"),
    ]


def main() -> None:
    """Run them all and write ``benchmarks/results/gateway.*``."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seconds", type=int, default=6)
    asked.add_argument("--rounds", type=int, default=5)
    options = asked.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, 20_000))
    with stage(paced=False) as here:
        rows = per_request(here, options.rounds, options.seconds)
    with stage(paced=True) as here:
        rows += per_event(here, max(1, options.rounds // 2 + 1), options.seconds)
        rows += latency(here, options.rounds)
        rows += leaving(here)
        rows += slow_streams(here)
    write("gateway", rows)


if __name__ == "__main__":
    main()
