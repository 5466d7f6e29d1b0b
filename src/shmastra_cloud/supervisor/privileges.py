"""Who runs what: as root, everything but the engine runs as a system user of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shmastra_cloud.supervisor.errors import Unreadable

if TYPE_CHECKING:
    from pathlib import Path

SERVICE = "shmastra"
DEMO = "shmastra-demo"
COMMAND_SECONDS = 30


@dataclass(frozen=True)
class Account:
    """A system user."""

    name: str
    uid: int
    gid: int


def account(name: str) -> Account | None:
    """Return the system user of that name, made where there is none; None where this process is not root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        subprocess.run(  # noqa: S603 -- constant words
            [
                "/usr/sbin/useradd",
                "--system",
                "--user-group",
                "--no-create-home",
                "--shell",
                "/usr/sbin/nologin",
                name,
            ],
            check=True,
            capture_output=True,
            timeout=COMMAND_SECONDS,
        )
        entry = pwd.getpwnam(name)
    return Account(name, entry.pw_uid, entry.pw_gid)


def owner_of(path: Path) -> Account | None:
    """Return whose a path is; None where it is this process's own user's.

    Raises:
        Unreadable: it is another's, and this process is not root.
    """
    found = path.stat()
    if found.st_uid == os.geteuid():
        return None
    try:
        name = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        name = str(found.st_uid)
    if os.geteuid() != 0:
        raise Unreadable(f"{path} belongs to the user {name}. Run this as root (sudo), or as {name}.")
    return Account(name, found.st_uid, found.st_gid)


def own(path: Path, who: Account | None, mode: int = 0o700) -> Path:
    """Make a folder that only ``who`` (or this user) may enter."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    if who is not None:
        os.chown(path, who.uid, who.gid)
    return path


def wrapped(
    argv: list[str], who: Account | None, *, death: str = "TERM", no_network: bool = False
) -> list[str]:
    """Return ``argv`` so that it runs as ``who``, and ends when this process does."""
    setpriv = [shutil.which("setpriv") or "setpriv", f"--pdeathsig={death}"]
    if who is not None:
        setpriv += [
            f"--reuid={who.uid}",
            f"--regid={who.gid}",
            "--clear-groups",
            "--inh-caps=-all",
            "--no-new-privs",
        ]
    isolate = (
        [shutil.which("unshare") or "unshare", "--net", "--"] if no_network and os.geteuid() == 0 else []
    )
    return [*isolate, *setpriv, "--", *argv]


def can_enter(who: Account, folder: Path) -> bool:
    """Tell whether ``who`` can get to what is in a folder."""
    test = wrapped(["/usr/bin/test", "-x", str(folder)], who)
    return subprocess.run(test, check=False, timeout=COMMAND_SECONDS).returncode == 0  # noqa: S603 -- ours


def check_readable(who: Account | None, paths: list[Path]) -> None:
    """Make sure that ``who`` can read ``paths``.

    Raises:
        Unreadable: he cannot; the message names the first such path.
    """
    if who is None:
        return
    for path in paths:
        test = wrapped(["/usr/bin/test", "-r", str(path)], who)
        if subprocess.run(test, check=False, timeout=COMMAND_SECONDS).returncode != 0:  # noqa: S603 -- ours
            raise Unreadable(
                f"The system user {who.name} cannot read {path}. "
                "Put the clone where others may read it, such as /opt, and start again."
            )
