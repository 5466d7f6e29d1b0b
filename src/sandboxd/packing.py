"""A sandbox's files, and a template's, as a stream of GNU tar's.

The stream keeps owners by number, times to the nanosecond, holes, hard links, and the attributes in which an
overlay keeps what was removed. Sockets are left out: whoever listened on one makes it again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# What is mounted in it is nobody else's to see, and goes with the program however that ends.
ALONE = ("/usr/bin/unshare", "--mount", "--propagation", "private", "--")
DISK_OPTIONS = "loop,nosuid,nodev"
_TAR = (
    "/usr/bin/tar",
    "--create",
    "--format=posix",
    "--pax-option=delete=atime,delete=ctime",
    "--sparse",
    "--xattrs",
    "--xattrs-include=*",
    "--numeric-owner",
    "--one-file-system",
    "--warning=no-file-ignored",
)
_MOUNT = f'mount -o {DISK_OPTIONS} "$1" "$2" && cd "$2/upper" && shift 2 && exec "$@"'


def disk_argv(image: Path, mountpoint: Path) -> list[str]:
    """Return the program that writes to its output what a sandbox changed; ``image`` is nobody else's.

    A copy of a disk that was in use is mounted for writing, so that its journal is played back.
    """
    return [*ALONE, "/bin/sh", "-c", _MOUNT, "sh", str(image), str(mountpoint), *_TAR, "."]


def template_argv(template: Path) -> list[str]:
    """Return the program that writes to its output what a template's root file system holds.

    What is in ``/dev`` is hidden in every sandbox by one of its own.
    """
    return [*_TAR, "--exclude=./dev/*", f"--directory={template / 'rootfs'}", "."]


def used_bytes(path: Path) -> int:
    """Return how much room a file, or all that is in a folder, takes on its disk."""
    found = path.lstat().st_blocks * 512
    if not path.is_symlink() and path.is_dir():
        with os.scandir(path) as entries:
            found += sum(used_bytes(path / entry.name) for entry in entries)
    return found
