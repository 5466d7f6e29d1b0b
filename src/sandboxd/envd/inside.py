"""The program that runs inside a sandbox for one operation on files; standard library only.

It is given the operation as JSON in its first argument, the bytes to write on standard input, and prints one
line of JSON (or, for ``read``, the line and then the file). It runs as the sandbox's own user: a link that is
swapped under it leads only to what that user may reach anyway.
"""

# ruff: noqa: T201 -- printing is how it answers

import json
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

PIECE = 1 << 20


def entry(path: Path) -> dict[str, Any]:
    """Describe one file, without following a link."""
    told = path.lstat()
    kind = "link" if stat.S_ISLNK(told.st_mode) else "dir" if stat.S_ISDIR(told.st_mode) else "file"
    return {
        "name": path.name,
        "path": str(path),
        "kind": kind,
        "size": told.st_size,
        "mode": stat.S_IMODE(told.st_mode),
        "permissions": stat.filemode(told.st_mode),
        "uid": told.st_uid,
        "gid": told.st_gid,
        "modified": told.st_mtime_ns,
        "target": str(path.readlink()) if kind == "link" else None,
    }


def listing(path: Path, depth: int) -> list[dict[str, Any]]:
    """Describe a folder's files, ``depth`` levels down."""
    found = []
    for child in sorted(path.iterdir()):
        told = entry(child)
        found.append(told)
        if depth > 1 and told["kind"] == "dir":
            found += listing(child, depth - 1)
    return found


def write(path: Path) -> dict[str, Any]:
    """Write standard input to a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.resolve() if path.is_symlink() else path
    scratch = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with scratch.open("xb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, PIECE)
        if path.exists():
            scratch.chmod(stat.S_IMODE(path.stat().st_mode))
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return entry(path)


def read(path: Path) -> None:
    """Print a file after its description."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        sys.stdout.buffer.write(json.dumps({"ok": {"size": size, "name": path.name}}).encode() + b"\n")
        shutil.copyfileobj(file, sys.stdout.buffer, PIECE)
    sys.stdout.buffer.flush()


def remove(path: Path) -> dict[str, Any]:
    """Delete a file, or a folder with all that is in it."""
    told = entry(path)
    if told["kind"] == "dir":
        shutil.rmtree(path)
    else:
        path.unlink()
    return told


def move(source: Path, target: Path) -> dict[str, Any]:
    """Rename a file or folder."""
    entry(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    return entry(target)


def do(asked: dict[str, Any]) -> Any:
    """Do one operation."""
    path = Path(asked["path"]) if asked["path"].startswith("/") else Path(asked["home"]) / asked["path"]
    operation = asked["do"]
    if operation == "stat":
        return entry(path)
    if operation == "list":
        return listing(path, asked["depth"])
    if operation == "make_dir":
        path.mkdir(parents=True)
        return entry(path)
    if operation == "remove":
        return remove(path)
    if operation == "move":
        return move(path, Path(asked["to"]))
    return write(path)


def main() -> None:
    """Do what the first argument asks and say how it went."""
    asked = json.loads(sys.argv[1])
    try:
        if asked["do"] == "read":
            home = Path(asked["home"])
            read(home / asked["path"])
            return
        print(json.dumps({"ok": do(asked)}))
    except (OSError, ValueError) as error:
        name = type(error).__name__
        print(
            json.dumps(
                {"error": name, "text": f"{asked['path']}: {getattr(error, 'strerror', None) or error}"}
            )
        )


if __name__ == "__main__":
    main()
