"""One supervisor per data folder: a lock that the kernel drops with its holder."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shmastra_cloud.supervisor.errors import AlreadyRunning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def held(run: Path, url: str) -> Iterator[None]:
    """Hold ``run/lock``, which tells who holds it and where.

    Raises:
        AlreadyRunning: another process holds it; the message names its pid and URL.
    """
    run.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(_holder(descriptor)) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    try:
        told = json.loads(os.pread(descriptor, 4096, 0))
        who = f"process {int(told['pid'])} at {told['url']}"
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return f"This installation is running already: {who}. Stop it first (Ctrl-C), or choose another --data."
