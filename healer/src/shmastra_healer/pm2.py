"""Speaks to pm2 through its command line, each call of which starts a Node: used after an event only."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from typing import TYPE_CHECKING

from shmastra_healer.errors import RestartFailed
from shmastra_healer.events import Asked
from shmastra_healer.tail import hide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shmastra_healer.place import Place

NAME = "shmastra"
ASK_SECONDS = 10
RESTART_SECONDS = 30
LAST_WORDS = 300
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
NOT_PASSED_ON = ("PM2_", "NODE_APP_INSTANCE", "PYTHON")
_CONSTANT = re.compile(r"[A-Z_][A-Z0-9_]*")


def ask(place: Place) -> Asked:
    """Return what pm2 says of the dev server; whatever goes wrong is an answer without a status."""
    try:
        listed = json.loads(_run(place, [place.pm2, "jlist"], ASK_SECONDS).strip().splitlines()[-1])
        (one,) = [one["pm2_env"] for one in listed if one["name"] == NAME]
        seconds = time.time() - float(one["pm_uptime"]) / 1000
        return Asked(str(one["status"])[:40], max(0.0, seconds))
    except (RestartFailed, ValueError, LookupError, TypeError):
        return Asked(None, 0.0)


def restart(place: Place, *, everything: bool = False) -> None:
    """Restart the dev server with the present ``.env``; with ``everything``, the healer as well.

    Raises:
        RestartFailed: neither the start command nor pm2 itself could.
    """
    only = [] if everything else ["--only", NAME]
    try:
        _run(place, [place.start, *only], RESTART_SECONDS)
    except RestartFailed:  # `.env` may be missing; pm2 remembers the one before
        _run(place, [place.pm2, "restart", NAME, "--silent"], RESTART_SECONDS)


def _outer(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what pm2 put into it, which would become the dev server's.

    pm2 hands each field of its own record of a process on as a variable, nearly all in small letters; with
    ``pm_id`` set its command line takes itself for a library.
    """
    kept = {name: value for name, value in environ.items() if name in PROXIES or _CONSTANT.fullmatch(name)}
    return {name: value for name, value in kept.items() if not name.startswith(NOT_PASSED_ON)}


def _run(place: Place, argv: list[str], seconds: int) -> str:
    environ = {**_outer(os.environ), "PM2_HOME": str(place.pm2_home), "PM2_DISCRETE_MODE": "true"}
    try:
        done = subprocess.run(  # noqa: S603 -- our own words
            argv,
            cwd=place.project,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise RestartFailed(f"{argv[0]} did not end within {seconds} s") from error
    except OSError as error:
        raise RestartFailed(f"{argv[0]}: {error.strerror or type(error).__name__}") from error
    if done.returncode != 0:
        said = hide((done.stderr or done.stdout).strip()[-LAST_WORDS:], place.env())
        raise RestartFailed(f"{argv[0]} ended with status {done.returncode}: {said}")
    return done.stdout
