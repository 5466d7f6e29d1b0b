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
