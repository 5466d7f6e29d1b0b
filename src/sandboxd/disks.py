"""The disk of a sandbox: a sparse ext4 file, made empty, and copied as it is at one moment.

``FIFREEZE`` and ``FITHAW`` are ioctls of ``linux/fs.h``: a frozen file system has all of its data and an
empty journal on its device, and takes no write.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import subprocess
from typing import TYPE_CHECKING

from sandboxd.commands import SAID_BYTES, inherited, run
from sandboxd.errors import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
COPY_SECONDS = 300


async def make_empty(image: Path, size: int) -> None:
    """Make an empty disk of ``size`` bytes, under another name first, so that a half-made one is never used.

    Raises:
        CommandFailed: mkfs refused.
    """
    scratch = image.with_name(f"{image.name}.mkfs")
    with scratch.open("wb") as file:
        file.truncate(size)
    features = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    await run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", features, str(scratch))
    scratch.chmod(0o600)
    scratch.rename(image)


def copy(image: Path, mounted: Path, target: Path) -> None:
    """Copy a disk as it is now, where it is mounted or not; holes stay holes.

    Its file system is frozen meanwhile: what runs goes on, and waits where it writes. This blocks, for a
    thread of its own: nobody who gives up waiting for it leaves the file system frozen.

    Raises:
        CommandFailed: there is no room for the copy, or it took too long.
        OSError: the file system cannot be frozen.
    """
    target.unlink(missing_ok=True)
    target.touch(mode=0o600)
    in_use = mounted.is_mount()
    try:
        if in_use:
            _run("sync", "--file-system", str(mounted))  # so that less is left to write while it is frozen
        with _frozen(mounted) if in_use else contextlib.nullcontext():
            _run("cp", "--reflink=auto", "--sparse=auto", str(image), str(target))
    except BaseException:
        target.unlink()
        raise


def _run(*argv: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 -- our own words
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COPY_SECONDS,
            pass_fds=inherited,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{argv[0]} did not end within {COPY_SECONDS} s.") from error
    if done.returncode != 0:
        raise CommandFailed(f"{argv[0]} failed: {done.stderr.strip()[-SAID_BYTES:]}")


def let_go(mounted: Path) -> None:
    """Thaw a file system that a killed daemon left frozen; one that is not frozen is left alone."""
    try:
        _control(mounted, FITHAW)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


@contextlib.contextmanager
def _frozen(mounted: Path) -> Iterator[None]:
    _control(mounted, FIFREEZE)
    try:
        yield
    finally:
        _control(mounted, FITHAW)


def _control(mounted: Path, request: int) -> None:
    descriptor = os.open(mounted, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(descriptor, request, 0)
    finally:
        os.close(descriptor)
