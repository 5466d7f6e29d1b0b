"""Finds and ends what holds the dev server's port although pm2 knows nothing of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

LISTENING = "0A"
MOST_STEPS = 64


def free(port: int, ours: int | None, proc: Path = Path("/proc")) -> list[int]:
    """Kill whatever listens on a port and does not descend from the process ``ours``; returns who it was.

    Such a server has outlived its runner; it would keep each new one from listening.
    """
    strangers = [pid for pid in holders(port, proc) if not _descends(pid, ours, proc)]
    for pid in strangers:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:  # gone by itself
            continue
    return strangers


def holders(port: int, proc: Path = Path("/proc")) -> list[int]:
    """Return the processes that hold a listening TCP socket on a port, of those that we may look into."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(port, proc)}
    if not wanted:
        return []
    folders = [folder for folder in proc.iterdir() if folder.name.isdigit()]
    return sorted(int(folder.name) for folder in folders if _holds(folder / "fd", wanted))


def _inodes(port: int, proc: Path) -> set[str]:
    found = set()
    for name in ("tcp", "tcp6"):
        for line in _text(proc / "net" / name).splitlines()[1:]:
            words = line.split()
            if len(words) > 9 and words[3] == LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                found.add(words[9])
    return found


def _holds(descriptors: Path, wanted: set[str]) -> bool:
    try:
        return any(str(file.readlink()) in wanted for file in descriptors.iterdir())
    except OSError:
        return False


def _descends(pid: int, from_whom: int | None, proc: Path) -> bool:
    for _ in range(MOST_STEPS):
        if pid == from_whom:
            return True
        words = _text(proc / str(pid) / "stat").rpartition(")")[2].split()
        if len(words) < 2 or words[1] in ("0", "1"):
            return False
        pid = int(words[1])
    return False


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
