"""The control group of a sandbox: where its files are, and who is in it.

With cgroup v1 (or the hybrid of both) each controller has a tree of its own under ``/sys/fs/cgroup``; with v2
one tree has them all. The file names are the kernel's (``Documentation/admin-guide``: ``cgroup-v1``,
``cgroup-v2.rst``).
"""

from __future__ import annotations

from pathlib import Path

from sandboxd.spec import CGROUPS

ROOT = Path("/sys/fs/cgroup")


def folder(sandbox_id: str, controller: str) -> Path | None:
    """Return a sandbox's folder in the tree of a controller; None where there is none."""
    name = CGROUPS.strip("/")
    for tree in (ROOT / controller, ROOT, ROOT / "unified"):
        found = tree / name / sandbox_id
        if found.is_dir():
            return found
    return None


def pids(sandbox_id: str) -> set[int]:
    """Return the processes of a sandbox, as this machine numbers them."""
    found = folder(sandbox_id, "pids")
    if found is None:
        return set()
    try:
        words = (found / "cgroup.procs").read_text().split()
    except OSError:  # it has just gone
        return set()
    return {int(word) for word in words} - {0}


def refused_processes(sandbox_id: str) -> int:
    """Return how often the kernel refused a sandbox one process more than its limit."""
    found = folder(sandbox_id, "pids")
    try:
        words = (found / "pids.events").read_text().split() if found else []
    except OSError:
        return 0
    return int(words[words.index("max") + 1]) if "max" in words else 0


def cpu_seconds(sandbox_id: str) -> float:
    """Return the time of all CPUs together that a sandbox has used."""
    old = _number(sandbox_id, "cpuacct", "cpuacct.usage")
    if old is not None:
        return old / 1e9
    return (_number(sandbox_id, "cpu", "cpu.stat", "usage_usec") or 0) / 1e6


def memory(sandbox_id: str) -> tuple[int, int]:
    """Return the bytes of memory that a sandbox uses, and how many of them cache files."""
    used = _number(sandbox_id, "memory", "memory.usage_in_bytes")
    if used is not None:
        return used, _number(sandbox_id, "memory", "memory.stat", "total_cache") or 0
    return (
        _number(sandbox_id, "memory", "memory.current") or 0,
        _number(sandbox_id, "memory", "memory.stat", "file") or 0,
    )


def _number(sandbox_id: str, controller: str, name: str, field: str | None = None) -> int | None:
    """Return what a file holds, or what it says of a field; None where there is no such file."""
    found = folder(sandbox_id, controller)
    try:
        words = (found / name).read_text().split() if found else []
    except OSError:
        return None
    if field is None:
        return int(words[0]) if words else None
    return int(words[words.index(field) + 1]) if field in words else None
