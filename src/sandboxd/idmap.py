"""Idmapped mounts: one template on disk, seen by each sandbox under its own range of uids.

System calls and constants are those of Linux 5.12 and later (open_tree, mount_setattr, move_mount); an
idmapped mount may be the lower layer of an overlay from 5.19 on.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UIDS = 65536

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, 0o2000000
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_IDMAP = 0x1, 0x100000
_HELPER_SECONDS = 10

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def bind_idmapped(source: Path, target: Path, first_uid: int) -> None:
    """Mount ``source`` read-only on ``target`` with uid 0 shown as ``first_uid``, and so on for 65,536 uids.

    Raises:
        OSError: the kernel or the file system cannot do it.
    """
    tree = _call(_OPEN_TREE, _AT_FDCWD, os.fsencode(source), _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC)
    try:
        with _user_namespace(first_uid) as userns:
            attr = _MountAttr(_MOUNT_ATTR_IDMAP | _MOUNT_ATTR_RDONLY, 0, 0, userns)
            _call(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(attr), ctypes.sizeof(attr))
        _call(_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


@contextlib.contextmanager
def _user_namespace(first_uid: int) -> Iterator[int]:
    """Give a descriptor of a user namespace that maps 0 to ``first_uid``; a short-lived process holds it."""
    with subprocess.Popen(
        ["/usr/bin/unshare", "--user", "/bin/sh", "-c", "echo x; read line"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as helper:
        try:
            if helper.stdout is None or helper.stdout.read(1) != b"x":
                raise OSError("this machine makes no user namespaces")
            for name in ("uid_map", "gid_map"):
                descriptor = os.open(f"/proc/{helper.pid}/{name}", os.O_WRONLY)
                os.write(descriptor, b"0 %d %d\n" % (first_uid, UIDS))
                os.close(descriptor)
            namespace = os.open(f"/proc/{helper.pid}/ns/user", os.O_RDONLY)
            try:
                yield namespace
            finally:
                os.close(namespace)
        finally:
            helper.kill()
            helper.wait(_HELPER_SECONDS)
