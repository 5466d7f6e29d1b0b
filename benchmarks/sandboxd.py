"""What the engine costs through the E2B SDK: ``python -m benchmarks.sandboxd`` (as root)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from e2b import Sandbox
from tests.sandboxd.conftest import Daemon, running_daemon

from benchmarks.results import figure, write

ROUNDS = 20
SANDBOXES = 10


def measured(do: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Return how long each call took, in milliseconds."""
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        do()
        found.append((time.perf_counter() - begun) * 1000)
    return found


def row(what: str, times: list[float], target: str = "") -> dict[str, Any]:
    return figure(f"{what}, p50", statistics.median(times), "ms", target)


def figures(daemon: Daemon) -> list[dict[str, Any]]:
    daemon.create().kill()
    boxes: list[Sandbox] = []
    rows = [row("create to running", measured(lambda: boxes.append(daemon.create()), SANDBOXES), "50-90")]
    box = boxes[0]
    rows.append(row("first command in a sandbox", measured(lambda: box.commands.run("true"), 1)))
    rows.append(row("command (`bash -l -c true`)", measured(lambda: box.commands.run("true"))))
    rows.append(row("file written", measured(lambda: box.files.write("/home/user/x", "x"))))
    rows.append(row("file read", measured(lambda: box.files.read("/home/user/x"))))
    rows.append(row("file described", measured(lambda: box.files.get_info("/home/user/x"))))
    paused, resumed = [], []
    for _ in range(ROUNDS):
        paused += measured(box.pause, 1)
        resumed += measured(lambda: Sandbox.connect(box.sandbox_id, **daemon.options), 1)
    rows += [row("pause", paused), row("resume", resumed, "20")]
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    rows.append(figure("daemon's memory", int(status.split("VmRSS:")[1].split()[0]) / 1024, "MB"))
    rows.append(row("kill", measured(lambda: boxes.pop().kill(), SANDBOXES)))
    return rows


def main() -> None:
    with running_daemon() as daemon:
        write("sandboxd", figures(daemon))


if __name__ == "__main__":
    main()
