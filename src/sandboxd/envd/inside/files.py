"""Operations on files. Paths are absolute, begin with ``~``, or are relative to the home."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE = 1 << 18
PART = 200
MAX_ENTRIES = 10_000
SMALL_BYTES = 1 << 20
METADATA = "user.e2b."


def located(home: str, path: str) -> Path:
    """Return where a path leads; ValueError if it cannot be one."""
    if "\0" in path:
        raise ValueError("a path has no null byte")
    if path == "~" or path.startswith("~/"):
        path = path[2:]
    return Path(home) / path


def entry(path: Path) -> dict[str, Any]:
    """Describe one file, without following a link."""
    told = path.lstat()
    kind = "link" if stat.S_ISLNK(told.st_mode) else "dir" if stat.S_ISDIR(told.st_mode) else "file"
    return {
        "name": shown(path.name),
        "path": shown(str(path)),
        "kind": kind,
        "size": told.st_size,
        "mode": stat.S_IMODE(told.st_mode),
        "permissions": stat.filemode(told.st_mode),
        "uid": told.st_uid,
        "gid": told.st_gid,
        "modified": told.st_mtime_ns,
        "target": shown(str(path.readlink())) if kind == "link" else None,
        "metadata": {} if kind == "link" else _metadata(path),
    }


def shown(name: str) -> str:
    """Return a name as text, whatever bytes it is made of."""
    return os.fsencode(name).decode(errors="replace")


def _metadata(path: Path) -> dict[str, str]:
    try:
        names = [name for name in os.listxattr(path, follow_symlinks=False) if name.startswith(METADATA)]
        return {name[len(METADATA) :]: os.getxattr(path, name).decode("ascii", "replace") for name in names}
    except OSError:
        return {}


def listing(path: Path, depth: int) -> Iterator[list[dict[str, Any]]]:
    """Describe a folder's files, ``depth`` levels down, some at a time; OverflowError for too many."""
    part: list[dict[str, Any]] = []
    for number, found in enumerate(_walk(path, depth)):
        if number >= MAX_ENTRIES:
            raise OverflowError(f"{path}: more than {MAX_ENTRIES} files; list a folder below, or use `find`")
        part.append(found)
        if len(part) == PART:
            yield part
            part = []
    yield part


def _walk(path: Path, depth: int) -> Iterator[dict[str, Any]]:
    with os.scandir(path) as found:
        # one more than may be told is enough to know that they are too many
        names = sorted(one.name for one in itertools.islice(found, MAX_ENTRIES + 1))
    for name in names:
        try:
            told = entry(path / name)
        except FileNotFoundError:
            continue  # it has just gone
        yield told
        if depth > 1 and told["kind"] == "dir":
            with contextlib.suppress(PermissionError, FileNotFoundError, NotADirectoryError):
                yield from _walk(path / name, depth - 1)


def make_dir(path: Path) -> dict[str, Any]:
    """Make a folder and those above it."""
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(20, "is a file")
    path.mkdir(parents=True)
    return entry(path)


def move(source: Path, target: Path) -> dict[str, Any]:
    """Rename a file or folder."""
    entry(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != 18:  # EXDEV: /tmp is a file system of its own
            raise
        shutil.move(source, target)
    return entry(target)


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it; what is not there is none."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def read(path: Path, output: int, describe: Callable[[dict[str, Any]], None]) -> None:
    """Write a regular file to a pipe after describing it."""
    # not to wait for who would write into a FIFO
    source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        told = os.fstat(source)
        if not stat.S_ISREG(told.st_mode):
            what = "a folder" if stat.S_ISDIR(told.st_mode) else "not a file with content"
            raise IsADirectoryError(21, f"is {what}")
        if told.st_size <= SMALL_BYTES:
            # whole at once, since it may be cut short meanwhile; those of /proc say 0, whatever they hold
            data = _up_to(source, told.st_size or SMALL_BYTES)
            describe({"size": len(data), "name": shown(path.name)})
            _write_all(output, data)
            return
        describe({"size": told.st_size, "name": shown(path.name)})
        while data := os.read(source, PIECE):
            _write_all(output, data)
    finally:
        os.close(source)


def _up_to(source: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (piece := os.read(source, size - len(data))):
        data += piece
    return bytes(data)


def _write_all(output: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(output, view) :]


def write(path: Path, given: int, metadata: dict[str, str]) -> dict[str, Any]:
    """Write what comes in frames to a file, whole or not at all.

    A frame is 4 bytes of length, then that much; one of none is the last. ValueError where it does not come.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.resolve() if path.is_symlink() else path
    try:
        told = path.stat()
        if not stat.S_ISREG(told.st_mode):
            raise IsADirectoryError(21, "is not a file with content")
        mode = stat.S_IMODE(told.st_mode)
    except FileNotFoundError:
        mode = None
    if mode is not None and not os.access(path.parent, os.W_OK):
        return _write_over(path, given)
    scratch = path.with_name(f".{secrets.token_hex(8)}.new")
    try:
        with scratch.open("xb") as file:
            file.writelines(_frames(given))
        if mode is not None:
            scratch.chmod(mode)
        for name, value in metadata.items():
            os.setxattr(scratch, METADATA + name, value.encode())
        scratch.replace(path)
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()
    return entry(path)


def _write_over(path: Path, given: int) -> dict[str, Any]:
    """Write into a file whose folder takes no new one."""
    with path.open("wb") as file:
        file.writelines(_frames(given))
    return entry(path)


def _frames(given: int) -> Iterator[bytes]:
    while length := int.from_bytes(_exactly(given, 4), "big"):
        yield _exactly(given, length)


def _exactly(given: int, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = os.read(given, length - len(data))
        if not piece:
            raise ValueError("the upload ended before its end")
        data += piece
    return bytes(data)
