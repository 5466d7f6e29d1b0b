"""Watching folders through inotify (``inotify(7)``), without a library for it."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from typing import Any

from sandboxd.envd.inside import files

KINDS = {
    0x2: "write",  # IN_MODIFY
    0x4: "chmod",  # IN_ATTRIB
    0x40: "rename",  # IN_MOVED_FROM
    0x80: "create",  # IN_MOVED_TO
    0x100: "create",  # IN_CREATE
    0x200: "remove",  # IN_DELETE
    0x400: "remove",  # IN_DELETE_SELF
    0x800: "rename",  # IN_MOVE_SELF
}
MASK = sum(KINDS)
ONLY_FOLDERS, OVERFLOW = 0x1000000, 0x4000
HEAD = struct.Struct("iIII")
MAX_FOLDERS = 4096
READ_BYTES = 1 << 16


class Watch:
    """The changes below one folder, from now on."""

    def __init__(self, root: Path, *, recursive: bool, entries: bool) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._root, self._recursive, self._entries = root, recursive, entries
        self._folders: dict[int, Path] = {}
        self.descriptor = self._checked(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), root)
        try:
            self._add(root)
            if recursive:
                self._add_below(root)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it."""
        os.close(self.descriptor)

    def events(self) -> list[dict[str, Any]]:
        """Return what happened since; OverflowError if it was too much to be told."""
        data = os.read(self.descriptor, READ_BYTES)
        found: list[dict[str, Any]] = []
        at = 0
        while at < len(data):
            watch, mask, _, length = HEAD.unpack_from(data, at)
            name = data[at + HEAD.size : at + HEAD.size + length].rstrip(b"\0")
            at += HEAD.size + length
            if mask & OVERFLOW:
                raise OverflowError("more changed than could be told")
            if watch in self._folders and mask & MASK:
                found += self._event(self._folders[watch], os.fsdecode(name), mask)
        return found

    def _event(self, folder: Path, name: str, mask: int) -> list[dict[str, Any]]:
        if not name and folder != self._root:
            return []  # its parent tells of it
        path = folder / name
        made = [self._told(path, KINDS[bit]) for bit in KINDS if mask & bit]
        if self._recursive and name and mask & 0x180 and path.is_dir() and not path.is_symlink():
            try:
                self._add(path)
            except OSError:
                return made  # it has just gone
            made += [self._told(one, "create") for one in self._add_below(path)]
        return made

    def _told(self, path: Path, kind: str) -> dict[str, Any]:
        name = "" if path == self._root else str(path.relative_to(self._root))
        told: dict[str, Any] = {"name": files.shown(name), "kind": kind}
        if self._entries:
            try:
                told["entry"] = files.entry(path)
            except OSError:
                told["entry"] = None
        return told

    def _add(self, folder: Path) -> None:
        if len(self._folders) >= MAX_FOLDERS:
            raise OverflowError(f"more than {MAX_FOLDERS} folders to watch")
        number = self._libc.inotify_add_watch(self.descriptor, os.fsencode(folder), MASK | ONLY_FOLDERS)
        self._folders[self._checked(number, folder)] = folder

    def _add_below(self, folder: Path) -> list[Path]:
        """Watch all folders below one, and return what is in them."""
        found = []
        for top, names, others in os.walk(folder):
            for name in names:
                if not (Path(top) / name).is_symlink():
                    self._add(Path(top) / name)
            found += [Path(top) / name for name in (*names, *others)]
        return found

    @staticmethod
    def _checked(number: int, path: Path) -> int:
        if number < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
        return number
