"""Makes a layer's files out of a tar stream: a program of its own, with a bound on its memory.

Every name is looked up from the layer's root, one part after the other, and no link is ever followed. What is
in the way is an error: a layer is unpacked into an empty folder.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from sandboxd.errors import BadLayer, CommandFailed
from sandboxd.layers import Entry, entry
from sandboxd.packing import ALONE, DISK_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

MEMORY_BYTES = 1 << 30
PIECE = 1 << 20
MOUNT_SECONDS = 60
SET_ID = 0o6000
REFUSED = 3
# what the library raises for a stream that is none, or that wants more memory than there is
UNREADABLE = (tarfile.TarError, ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError)
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


def disk_argv(image: Path, mountpoint: Path, first_uid: int) -> list[str]:
    """Return the program that fills an empty disk with a sandbox's layer from its input."""
    own = [sys.executable, "-m", "sandboxd.unpacking"]
    return [*ALONE, *own, "disk", str(image), str(mountpoint), str(first_uid)]


def template_argv(template: Path) -> list[str]:
    """Return the program that fills a template's new ``rootfs`` from its input."""
    return [sys.executable, "-m", "sandboxd.unpacking", "template", str(template / "rootfs")]


class Layer:
    """The layer that is being made under a folder."""

    def __init__(self, root: Path, first_uid: int, drop_mode: int = 0) -> None:
        self._root = os.open(root, _FOLDER)
        self._first_uid, self._drop_mode = first_uid, drop_mode
        self._parent: tuple[tuple[bytes, ...], int] = ((), os.dup(self._root))
        self._folders: list[Entry] = []

    def close(self) -> None:
        """Let go of its folders."""
        os.close(self._parent[1])
        os.close(self._root)

    def add(self, one: Entry, data: IO[bytes]) -> None:
        """Make one thing; ``data`` holds what its extents are of.

        Raises:
            BadLayer: something is in its way.
            OSError: the disk is full, or fails.
        """
        try:
            parent = self._enter(one.path[:-1])
            self._make(one, parent, data)
        except (FileExistsError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            name = b"/".join(one.path).decode(errors="replace")
            raise BadLayer(f"{name[:200]!r} does not fit what is there already.") from error
        if one.kind == "folder":
            self._folders.append(one)
        elif one.kind != "link":
            self._times(one, parent)

    def finish(self) -> None:
        """Give the folders their times, which what was made in them had changed."""
        for one in reversed(self._folders):
            self._times(one, self._enter(one.path[:-1]))

    def _enter(self, path: tuple[bytes, ...]) -> int:
        """Return a descriptor of a folder, which is good until the next call."""
        if path == self._parent[0]:
            return self._parent[1]
        found = os.dup(self._root)
        try:
            for part in path:
                inner = os.open(part, _FOLDER, dir_fd=found)
                os.close(found)
                found = inner
        except BaseException:
            os.close(found)
            raise
        os.close(self._parent[1])
        self._parent = (path, found)
        return found

    def _make(self, one: Entry, parent: int, data: IO[bytes]) -> None:
        if one.kind == "link":
            source, name = self._enter(one.twin[:-1]), one.twin[-1] if one.twin else b"."
            held = os.dup(source)
            try:
                target = self._enter(one.path[:-1])
                os.link(name, one.path[-1], src_dir_fd=held, dst_dir_fd=target, follow_symlinks=False)
            finally:
                os.close(held)
            return
        name = one.path[-1] if one.path else b"."
        if one.kind == "symlink":
            os.symlink(one.target, name, dir_fd=parent)
        elif one.kind == "pipe":
            os.mkfifo(name, 0o600, dir_fd=parent)
        elif one.kind == "whiteout":
            os.mknod(name, 0o20000, os.makedev(0, 0), dir_fd=parent)
        elif one.kind == "folder" and one.path:
            os.mkdir(name, 0o700, dir_fd=parent)
        elif one.kind == "file":
            _write(one, name, parent, data)
        self._describe(one, name, parent)

    def _describe(self, one: Entry, name: bytes, parent: int) -> None:
        owner = one.uid + self._first_uid, one.gid + self._first_uid
        os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
        if one.kind != "symlink":  # just made, and not a link
            os.chmod(name, one.mode & ~self._drop_mode, dir_fd=parent)
        for attribute, value in one.xattrs.items():
            path = b"/proc/self/fd/%d/%s" % (parent, name)
            os.setxattr(path, attribute, value, follow_symlinks=False)

    def _times(self, one: Entry, parent: int) -> None:
        name = one.path[-1] if one.path else b"."
        os.utime(name, ns=(one.mtime, one.mtime), dir_fd=parent, follow_symlinks=False)


def _write(one: Entry, name: bytes, parent: int, data: IO[bytes]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(name, flags, 0o600, dir_fd=parent)
    try:
        for offset, length in one.extents:
            at, end = offset, offset + length
            while at < end:
                piece = data.read(min(PIECE, end - at))
                if not piece:
                    raise BadLayer("The stream ends in the middle of a file.")
                at += os.pwrite(descriptor, piece, at)
        os.ftruncate(descriptor, one.size)
    finally:
        os.close(descriptor)


def unpack(stream: IO[bytes], root: Path, first_uid: int, drop_mode: int = 0) -> None:
    """Make all that a tar stream holds under an empty folder.

    Raises:
        BadLayer: the stream is damaged, or holds what no layer can.
        OSError: the disk is full, or fails.
    """
    with closing(Layer(root, first_uid, drop_mode)) as layer:
        try:
            with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape") as tar:
                inside = cast("IO[bytes]", tar.fileobj)
                while (member := tar.next()) is not None:
                    tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                    layer.add(entry(member, first_uid), inside)
                while piece := inside.read(PIECE):
                    if piece.strip(b"\0"):
                        raise BadLayer("The stream goes on behind its end.")
        except MemoryError as error:
            raise BadLayer("The stream asks for more memory than a layer needs.") from error
        except UNREADABLE as error:
            raise BadLayer(f"The stream cannot be read ({type(error).__name__}).") from error
        layer.finish()


def _mount(image: str, mountpoint: str) -> None:
    argv = ["/usr/bin/mount", "-o", DISK_OPTIONS, image, mountpoint]
    _run(argv)


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(  # noqa: S603 -- our own words
        argv, capture_output=True, text=True, check=False, timeout=MOUNT_SECONDS
    )
    if done.returncode != 0:
        raise CommandFailed(f"{argv[0]} failed: {done.stderr.strip()[-400:]}")


def main(kind: str, *where: str) -> None:
    """Unpack from the standard input: ``disk IMAGE MOUNTPOINT FIRST_UID``, or ``template FOLDER``."""
    if kind == "template":
        root = Path(where[0])
        root.mkdir()
        _bound_memory()
        unpack(sys.stdin.buffer, root, 0, SET_ID)
        return
    image, mountpoint, first_uid = where
    _mount(image, mountpoint)
    root = Path(mountpoint) / "upper"
    root.mkdir()
    _bound_memory()
    unpack(sys.stdin.buffer, root, int(first_uid))
    _run(["/usr/bin/umount", mountpoint])


def _bound_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BadLayer as refused:
        sys.stderr.write(f"{refused}\n")
        sys.exit(REFUSED)
    except (OSError, CommandFailed) as failed:
        sys.stderr.write(f"{failed}\n")
        sys.exit(1)
