"""Where things are in a sandbox, and reading them; what is missing or rubbish reads as nothing."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, cast, get_args

from shmastra_healer.dotenv import parse
from shmastra_healer.events import Report, Runner
from shmastra_healer.tail import presentable

TAIL_BYTES = 65_536
SMALL_FILE = 262_144
MOST_LOG = 16 << 20
KEPT_LOG = 1 << 20
RECORD_BYTES = 64


class Place(NamedTuple):
    """The folders of one sandbox and the commands that act on it."""

    project: Path = Path("/home/user/shmastra")
    pm2_home: Path = Path("/home/user/.pm2")
    start: str = "/opt/shmastra/start"
    pm2: str = "pm2"
    port: int = 4111

    def env(self) -> dict[str, str]:
        """Read ``.env`` anew; empty where there is none."""
        return parse(_read(self.project / ".env").decode("utf-8", "replace"))

    def runner(self) -> Runner | None:
        """Return what the runner says of itself, or None."""
        told = _object(self.project / ".shmastra/runner.json")
        state, since = told.get("state"), told.get("since")
        if not isinstance(state, str):
            return None
        return Runner(state[:40], str(since)[:40])

    def pid(self) -> int | None:
        """Return the process that pm2 started last as ``shmastra``, by its newest pid file, or None."""
        try:
            files = list((self.pm2_home / "pids").glob("shmastra-*.pid"))
            newest = max(files, key=lambda file: file.stat().st_mtime, default=None)
            pid = int(_read(newest)) if newest else 0
        except (OSError, ValueError):
            return None
        return pid if pid > 1 else None

    def log_size(self) -> int:
        """Return how long the dev server's log is, in bytes."""
        try:
            return (self.project / ".logs/shmastra.log").stat().st_size
        except OSError:
            return 0

    def log_tail(self, begin: int = 0) -> str:
        """Return the end of the dev server's log, fit to be shown, of what came after ``begin`` bytes."""
        path = self.project / ".logs/shmastra.log"
        size = self.log_size()
        begin = begin if begin < size else 0
        start = max(begin, size - TAIL_BYTES)
        return presentable(_read(path, start, TAIL_BYTES), self.env(), whole=start == begin)

    def bound_log(self) -> bool:
        """Keep the dev server's log, which pm2 only appends to, from filling the disk; True where it was cut.

        Its last part stays beside it as ``shmastra.log.1``, where there is room.

        Raises:
            OSError: it cannot be cut.
        """
        path = self.project / ".logs/shmastra.log"
        size = self.log_size()
        if size <= MOST_LOG or path.is_symlink():
            return False
        older = path.with_name("shmastra.log.1")
        with suppress(OSError):  # on a disk that is full already, room comes first
            older.unlink(missing_ok=True)
            older.write_bytes(_read(path, size - KEPT_LOG, KEPT_LOG))
        os.truncate(path, 0)
        return True

    def last_report(self) -> Report | None:
        """Return what a healer reported last, in this life or an earlier one."""
        told = _object(self.project / ".shmastra/healer.json").get("reported")
        return cast("Report", told) if told in get_args(Report) else None

    def keep_report(self, status: Report | None) -> None:
        """Remember a report, also on a full disk where something was remembered before.

        Raises:
            OSError: it cannot be written.
        """
        path = self.project / ".shmastra/healer.json"
        path.parent.mkdir(exist_ok=True)
        scratch = path.with_name("healer.json.new")
        record = json.dumps({"reported": status}).ljust(RECORD_BYTES).encode()
        try:
            scratch.write_bytes(record)
            os.replace(scratch, path)  # noqa: PTH105 -- atomic, and said so
        except OSError:
            scratch.unlink(missing_ok=True)
            with path.open("r+b", buffering=0) as file:  # as long as what stands there: it takes no room
                file.write(record)


def _object(path: Path) -> dict[str, object]:
    try:
        told = json.loads(_read(path))
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _read(path: Path, start: int = 0, most: int = SMALL_FILE) -> bytes:
    """Read a bounded part of a regular file; whatever hinders that, there is nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(descriptor, most, start)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
