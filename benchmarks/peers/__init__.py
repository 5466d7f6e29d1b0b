"""The peers that the gateway is measured beside, each started with the same job."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from benchmarks.peers import litellm, nginx, plain_aiohttp, portkey
from benchmarks.provider import Provider
from benchmarks.stage import Server, Stage

Serve = Callable[[Stage, Provider], AbstractContextManager[Server]]

# Those of the gateway's own order of magnitude are measured in turns with it, the others after it and more briefly.
FAST: dict[str, Serve] = {nginx.NAME: nginx.serve, plain_aiohttp.NAME: plain_aiohttp.serve}
SLOW: dict[str, Serve] = {portkey.NAME: portkey.serve, litellm.NAME: litellm.serve}

__all__ = ["FAST", "SLOW", "Serve"]
