"""The peers that the gateway is measured beside, each started with the same job."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.peers import litellm, nginx, plain_aiohttp, portkey
from benchmarks.provider import Provider, nginx_argv
from benchmarks.stage import Server, Stage

_Serve = Callable[[Stage, Provider], AbstractContextManager[Server]]

# Those of the gateway's order of magnitude are measured in turns with it, the others after it, more briefly.
FAST: dict[str, _Serve] = {nginx.NAME: nginx.serve, plain_aiohttp.NAME: plain_aiohttp.serve}
SLOW: dict[str, _Serve] = {portkey.NAME: portkey.serve, litellm.NAME: litellm.serve}


def versions() -> dict[str, str]:
    """Return the version of each peer: the lock files', and that of the nginx that is installed."""
    here = Path(__file__).parent
    packages = json.loads((here / "package-lock.json").read_text())["packages"]
    locked = dict(re.findall(r"^([\w-]+)==(\S+)", (here / "requirements.lock").read_text(), re.MULTILINE))
    said = subprocess.run([nginx_argv(here, "")[0], "-v"], capture_output=True, text=True, check=True).stderr
    return {
        nginx.NAME: said.strip().rpartition("/")[2],
        plain_aiohttp.NAME: locked["aiohttp"],
        portkey.NAME: packages["node_modules/@portkey-ai/gateway"]["version"],
        litellm.NAME: locked["litellm"],
    }


__all__ = ["FAST", "SLOW", "nginx", "versions"]
