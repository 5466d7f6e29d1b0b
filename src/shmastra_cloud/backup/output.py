"""Where a backup is written: a file that appears under its name when it is whole, or the standard output."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from shmastra_cloud.backup.errors import NoSpace, NotPossible

if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT = Path("-")


@contextmanager
def output(target: Path) -> Iterator[IO[bytes]]:
    """Give what a backup is written to; for ``-`` that is the standard output.

    A file is written beside its name, readable to its owner only, and takes the name, also that of an older
    file, when all of it is on the disk. An error leaves nothing; of a kill, the next backup writes over it.

    Raises:
        NotPossible: it cannot be written there, or another backup is being written to it.
    """
    if target == STDOUT:
        if sys.stdout.isatty():
            raise NotPossible("A backup is not for a terminal. Send it on: shmastra backup - | ...")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if not target.parent.is_dir():
        raise NotPossible(f"There is no folder {target.parent}.")
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        raise NotPossible(f"{target} is not a file. Name a new file, or - for the standard output.")
    partial = target.with_name(f".{target.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotPossible(f"Another backup is being written to {target}.") from error
        try:
            os.fchmod(descriptor, 0o600)
            file.truncate()
            yield file
            file.flush()
            os.fsync(descriptor)
            partial.rename(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Have a folder's names on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_space(folder: Path, wanted: int, what: str) -> None:
    """Make sure that a disk has room.

    Raises:
        NoSpace: it has not; the message says how much is missing.
    """
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise NoSpace(
            f"{free >> 20} MB are free in {folder}, and {what} may need {(wanted >> 20) + 1} MB: "
            "free some space, or choose a larger disk."
        )
