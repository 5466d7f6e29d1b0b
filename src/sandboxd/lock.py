"""One daemon for one data folder: a lock on ``DIR/lock``, which holds its pid.

Programs that the daemon starts inherit the lock: one that was killed is not followed by the next before what
it had started (a mount, a container's start) has ended.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

from sandboxd.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 60
POLL_SECONDS = 0.05


class Taken(EngineError):
    """Another daemon works on the folder."""


def take(data: Path) -> int:
    """Lock a data folder and return the descriptor that holds the lock.

    Raises:
        Taken: another daemon holds it; the message names its pid.
    """
    data.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + SECONDS
    while not _locked(descriptor):
        pid = os.pread(descriptor, 20, 0).decode().strip()
        if not pid.isdigit() or _runs(int(pid)) or time.monotonic() > deadline:
            os.close(descriptor)
            raise Taken(f"{data} is in use by the sandboxd with pid {pid or '?'}; end that one first.")
        time.sleep(POLL_SECONDS)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
