"""The gateway under mixed traffic for long: ``python -m benchmarks.soak [--minutes 30]``.

Exits with 1 where memory or descriptors rise, an answer is not the expected one, or a usage row is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import asyncpg

from benchmarks.machine import prepare
from benchmarks.provider import paced
from benchmarks.results import figure, write
from benchmarks.stage import Server, Stage, gateway, stage
from benchmarks.traffic import METERED, Client
from benchmarks.trend import Trend, trend

SAMPLE_SECONDS = 2.0
# Memory was seen to rise for five minutes and then to stay.
WARM_UP_PART, WARM_UP_SECONDS = 0.2, 360
MEMORY_PART, MEMORY_LEAST_MB = 0.03, 2.0
DESCRIPTORS_PART, DESCRIPTORS_LEAST = 0.0, 4.0
SETTLE_SECONDS = 5


@dataclass
class Seen:
    """What was sampled, by seconds since the start, and what clients met."""

    pss: list[tuple[float, float]] = field(default_factory=list)
    rss: list[tuple[float, float]] = field(default_factory=list)
    descriptors: list[tuple[float, float]] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)
    idle_descriptors: int = 0
    rows: int = 0


def main() -> None:
    """Run it and write ``benchmarks/results/soak.*``."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--minutes", type=float, default=30)
    asked.add_argument("--clients", type=int, default=24)
    asked.add_argument("--pause-ms", type=float, default=50, help="mean pause of a client between two calls")
    options = asked.parse_args()
    prepare()
    with stage() as here, paced(here.folder, None) as provider, gateway(here, provider) as server:
        before = server.running.descriptors()
        seen = asyncio.run(
            _soaked(here, server, options.minutes * 60, options.clients, options.pause_ms / 1000)
        )
    memory = _trend(seen.rss, MEMORY_PART, MEMORY_LEAST_MB)
    descriptors = _trend(seen.descriptors, DESCRIPTORS_PART, DESCRIPTORS_LEAST)
    rows = [
        figure("length", options.minutes, "min"),
        figure("calls", sum(seen.met.values()), ""),
        *(figure(f"calls: {kind}", count, "") for kind, count in sorted(seen.met.items())),
        figure("answers other than expected", len(seen.surprises), "", "= 0"),
        figure(
            "usage rows missing or too many", seen.rows - sum(seen.met[kind] for kind in METERED), "", "= 0"
        ),
        *_trend_rows("resident memory", memory, "MB"),
        figure("proportional memory (PSS) at the end", seen.pss[-1][1], "MB"),
        *_trend_rows("open descriptors", descriptors, ""),
        figure("descriptors before", before, ""),
        figure("descriptors when all clients have left", seen.idle_descriptors, ""),
    ]
    series = {"seconds_rss_mb": seen.rss, "seconds_pss_mb": seen.pss, "seconds_descriptors": seen.descriptors}
    write("soak", rows, {"flat": memory.flat and descriptors.flat, "samples": series})
    for surprise in seen.surprises[:20]:
        print(surprise, file=sys.stderr)
    missed = [row["what"] for row in rows if row["target"] == "= 0" and row["value"] != 0]
    missed += [] if memory.flat else ["memory is not flat"]
    missed += [] if descriptors.flat else ["descriptors are not flat"]
    sys.exit(f"soak: {'; '.join(missed)}" if missed else 0)


def _trend(samples: list[tuple[float, float]], part: float, least: float) -> Trend:
    length = samples[-1][0]
    begin = max(length * WARM_UP_PART, min(WARM_UP_SECONDS, length / 2))
    return trend([sample for sample in samples if sample[0] >= begin], part=part, least=least)


def _trend_rows(what: str, found: Trend, unit: str) -> list[dict[str, object]]:
    verdict = "flat" if found.flat else "NOT FLAT"
    return [
        figure(f"{what}, mean after the warm-up", found.mean, unit),
        figure(
            f"{what}, rise of the fitted line over that time",
            found.rise,
            unit,
            f"<= {found.tolerated:.3g}",
            note=f"{verdict}; {found.an_hour:+.2f} {unit}".rstrip() + " an hour",
        ),
    ]


async def _soaked(here: Stage, server: Server, seconds: float, clients: int, pause: float) -> Seen:
    seen = Seen()
    end = time.monotonic() + seconds
    working = [Client(server, at, seen.met, seen.surprises, pause).run(end) for at in range(clients)]
    async with asyncio.TaskGroup() as group:
        sampling = group.create_task(_sample(server, seen, seconds))
        for work in working:
            group.create_task(work)
        await sampling
    await asyncio.sleep(SETTLE_SECONDS)
    seen.idle_descriptors = server.running.descriptors()
    seen.rows = await _rows(here.dsn)
    return seen


async def _sample(server: Server, seen: Seen, seconds: float) -> None:
    begun = time.monotonic()
    said = 0.0
    while (now := time.monotonic() - begun) < seconds:
        seen.pss.append((now, server.running.pss_mb()))
        seen.rss.append((now, server.running.rss_mb()))
        seen.descriptors.append((now, server.running.descriptors()))
        if now - said >= 60:
            said = now
            told = f"{now / 60:.0f} min: {seen.rss[-1][1]:.1f} MB, {seen.descriptors[-1][1]} descriptors"
            print(f"{told}, {sum(seen.met.values())} calls", file=sys.stderr, flush=True)
        await asyncio.sleep(SAMPLE_SECONDS)


async def _rows(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("select count(*) from usage_events"))
    finally:
        await connection.close()


if __name__ == "__main__":
    main()
