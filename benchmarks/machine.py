"""The machine: its cores, the processes started on them, and what those use, from ``/proc``."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
# What is measured has one core to itself; load, provider and database share the other one.
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
FILES = 20_000
TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 120


class NotThereError(Exception):
    """A peer cannot be installed or started; the text says why, for the report."""


@dataclass(frozen=True)
class Started:
    """A process and its children."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def cpu_seconds(self) -> float:
        """Return the CPU time, user's and system's, that the whole tree has used."""
        return sum(_ticks(pid) for pid in tree(self.pid)) / TICKS

    def rss_mb(self) -> float:
        return sum(_smaps_kb(pid, "Rss") for pid in tree(self.pid)) / 1024

    def pss_mb(self) -> float:
        """Return the memory of the tree, pages shared with other processes counted in part."""
        return sum(_smaps_kb(pid, "Pss") for pid in tree(self.pid)) / 1024

    def descriptors(self) -> int:
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in tree(self.pid))


def prepare() -> None:
    """Give this process the load's core, and it and its children enough descriptors.

    Raises:
        SystemExit: the machine has one core only.
    """
    if SERVER_CORE == LOAD_CORE:
        raise SystemExit("The benchmarks need two cores: one for what is measured, one for the load.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that was started is ended
    os.sched_setaffinity(0, {LOAD_CORE})
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


@contextlib.contextmanager
def started(  # noqa: PLR0913 -- what Popen takes
    argv: list[str],
    log: Path,
    *,
    core: int,
    port: int | None = None,
    environ: dict[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[Started]:
    """Run a program on one core until this is left; enters when it listens on ``port``.

    Raises:
        NotThereError: it ended, or did not listen in time; the text holds the end of its log.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *argv],
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environ,
            cwd=folder,
            start_new_session=True,
        )
    try:
        if port is not None:
            _until_listening(port, process, log)
        yield Started(process, log)
    finally:
        _end(process)


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it and live."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own, with all that it left behind
    process.wait(10)


def _until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while True:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > end:
            last = log.read_text(errors="replace")[-2000:]
            raise NotThereError(f"{process.args!r} does not serve: {last}")
        time.sleep(0.05)


def _ticks(pid: int) -> int:
    """Return what a process used, and what those of its children used that it has waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(field) for field in fields[11:15])


def _smaps_kb(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
