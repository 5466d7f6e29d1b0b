"""What is written down of a sandbox: its ``sandbox.json``, written whole before it is answered for."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

FILE = "sandbox.json"


@dataclass
class Record:
    """What is written down of a sandbox.

    ``state`` is ``creating`` until it has run once, then ``running`` or ``paused``; times are seconds since
    1970; ``once`` is the key under which it was asked for.
    """

    id: str
    template: str
    index: int
    started_at: float
    end_at: float
    on_timeout: str
    metadata: dict[str, str]
    envs: dict[str, str]
    egress: list[str] | None
    public: bool
    envd_token: str = field(default_factory=lambda: secrets.token_hex(20))
    traffic_token: str = field(default_factory=lambda: secrets.token_hex(20))
    state: str = "creating"
    once: str | None = None


def read(folder: Path) -> Record | None:
    """Return the record in a sandbox's folder; None where there is none that can be read."""
    try:
        told: dict[str, Any] = json.loads((folder / FILE).read_text())
        known = {one.name for one in fields(Record)}
        return Record(**{name: value for name, value in told.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def as_json(record: Record) -> bytes:
    """Return a record as it is written down."""
    return json.dumps(asdict(record)).encode()


def make_folder(folder: Path) -> None:
    """Make a sandbox's folder; a container's own uids pass through it to their root, and read nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for passed in (folder.parent.parent, folder.parent, folder):
        passed.chmod(0o711)


def write(folder: Path, record: Record, *, durable: bool = True) -> None:
    """Write a record so that it is there whole, or the one before it is.

    With ``durable`` it outlives a loss of power; what a sandbox's processes do not outlive need not.
    """
    scratch = folder / f"{FILE}.new"
    scratch.touch(mode=0o600)
    with scratch.open("wb") as file:
        file.write(as_json(record))
        file.flush()
        if durable:
            os.fsync(file.fileno())
    scratch.replace(folder / FILE)
    if durable:
        _sync(folder)


def remove(folder: Path) -> None:
    """Remove a record: from now on its sandbox is rubbish, even if nobody gets to clear it away."""
    (folder / FILE).unlink(missing_ok=True)
    _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
