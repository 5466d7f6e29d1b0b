"""What a sandbox uses now. The names are those of E2B's ``SandboxMetric``; sizes are bytes."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from sandboxd import cgroups

if TYPE_CHECKING:
    from pathlib import Path

    from sandboxd.spec import Limits

SAMPLE_SECONDS = 0.1


async def measure(sandbox_id: str, disk: Path, limits: Limits) -> dict[str, Any]:
    """Return what a sandbox uses; of a CPU, over a tenth of a second."""
    before = cgroups.cpu_seconds(sandbox_id)
    await asyncio.sleep(SAMPLE_SECONDS)
    used = cgroups.cpu_seconds(sandbox_id) - before
    memory, cache = cgroups.memory(sandbox_id)
    told = await asyncio.to_thread(os.statvfs, disk)
    return {
        "cpuCount": max(1, round(limits.cpus)),
        "cpuUsedPct": round(min(used / SAMPLE_SECONDS / limits.cpus, 1) * 100, 2),
        "memUsed": max(memory - cache, 0),
        "memTotal": limits.memory_mb << 20,
        "memCache": cache,
        "diskUsed": (told.f_blocks - told.f_bfree) * told.f_frsize,
        "diskTotal": told.f_blocks * told.f_frsize,
    }
