"""What was restored is moved into its place: wherever that is cut off, all of it in the end, or none.

Everything is made under ``DATA/restore.new`` first. What is to be moved is then written down there, and
moved. Whoever comes after a cut finds the list, and goes on, or finds none, and nothing has happened.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from shmastra_cloud.backup.errors import NotPossible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STAGED, LIST = "restore.new", "moves.json"
MOUNTS = Path("/proc/self/mounts")
ASIDE = "before-restore-"


def staged(data: Path) -> Path:
    """Return the folder in which an installation is restored."""
    return data / STAGED


def commit(data: Path, names: Sequence[str], say: Callable[[str], None]) -> Path | None:
    """Move what is staged under these names to the same names in the data folder.

    What stood there is kept, in the folder that is returned; None where nothing did. All that was staged must
    be on the disk.
    """
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    listed = staged(data) / LIST
    scratch = listed.with_suffix(".new")
    scratch.write_text(json.dumps({"names": list(names), "aside": f"{ASIDE}{stamp}"}))
    _sync(scratch)
    scratch.rename(listed)
    _sync(listed.parent)
    return finish(data, say)


def finish(data: Path, say: Callable[[str], None]) -> Path | None:
    """Move what a restore that was cut off had still to move; nothing, where it had not come so far.

    Returns the folder in which what stood there before is kept; None where nothing did.
    """
    listed = staged(data) / LIST
    if not listed.exists():
        return None
    told = json.loads(listed.read_text())
    aside = data / told["aside"]
    for name in told["names"]:
        _move(staged(data) / name, data / name, aside / name)
    kept = aside if aside.exists() else None
    if kept is not None:
        say(f"what was there before is kept in {kept}")
    listed.unlink()
    _sync(listed.parent)
    shutil.rmtree(staged(data))
    return kept


def clear(data: Path) -> None:
    """Delete what a restore that was cut off had staged, without having begun to move it.

    Raises:
        NotPossible: something is mounted there.
    """
    folder = staged(data)
    if (folder / LIST).exists() or not folder.exists():
        return
    if any(line.split()[1].startswith(f"{folder}/") for line in MOUNTS.read_text().splitlines()):
        raise NotPossible(f"Something is mounted under {folder}. Unmount it, and try again.")
    shutil.rmtree(folder)


def _move(source: Path, target: Path, aside: Path) -> None:
    if not source.exists():
        return  # moved before the cut
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    if target.exists():
        _make(aside.parent, like=target.parent)
        target.rename(aside)
        _sync(aside.parent)
    source.rename(target)
    _sync(source.parent)
    _sync(target.parent)


def _make(folder: Path, like: Path) -> None:
    """Make a folder, and those above it, for whoever has another one."""
    if not folder.exists():
        _make(folder.parent, like)
        folder.mkdir()
        os.chown(folder, like.stat().st_uid, like.stat().st_gid)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
