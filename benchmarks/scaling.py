"""Two gateway processes against one: requests a second, where there are cores for both and for their load."""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import Any

from benchmarks.load import begun, finished
from benchmarks.machine import CORES
from benchmarks.measures import CONNECTIONS
from benchmarks.provider import quick
from benchmarks.results import figure
from benchmarks.stage import Server, Stage, gateway

NEEDED = 4
ROUNDS = 3
TARGET = ">= 1.8"
_WHAT = "two gateway processes, requests per second as a multiple of one's"


def two_processes(here: Stage, seconds: int) -> list[dict[str, Any]]:
    """Return the figure, or that the machine has too few cores for it.

    Each process has a core, and one for its load and provider: nothing but the database is shared.
    """
    more = {"peer": "shmastra", "upstream": "plain", "measure": "two_processes"}
    if len(CORES) < NEEDED:
        return [figure(_WHAT, None, "x", TARGET, note=f"not measured: {len(CORES)} cores", **more)]
    with contextlib.ExitStack() as stack:
        served: list[tuple[Server, int]] = []
        for at in range(2):
            load = CORES[-1 - at]
            provider = stack.enter_context(quick(here.folder, None, core=load))
            asked = gateway(here, provider, core=CORES[at], name=f"process{at}")
            served.append((stack.enter_context(asked), load))
        ratios = []
        _rate(here, served, 2)
        for _ in range(ROUNDS):
            one = _rate(here, served[:1], seconds)
            ratios.append(_rate(here, served, seconds) / one)
    return [figure(_WHAT, statistics.median(ratios), "x", TARGET, note="", **more)]


def _rate(here: Stage, served: list[tuple[Server, int]], seconds: int) -> float:
    """Return what all answer a second, loaded at the same time.

    Raises:
        SystemExit: a request failed.
    """
    running = [
        begun(server, here.folder, connections=CONNECTIONS, seconds=seconds, core=core)
        for server, core in served
    ]
    time.sleep(seconds)
    runs = [finished(wrk) for wrk in running]
    if any(run.failed for run in runs):
        raise SystemExit(f"requests failed: {runs}")
    return sum(run.a_second for run in runs)
