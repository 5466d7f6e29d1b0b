"""An ASGI application on a real socket, in a thread of its own, for programs that run in other processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from tests.support.cloud import wait_until


@dataclass
class Served:
    """What answers at ``url``; put another application in its place at any time."""

    app: Any
    url: str = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@contextmanager
def served(app: Any) -> Iterator[Served]:
    """Serve an application until the block ends."""
    here = Served(app)
    config = uvicorn.Config(here, port=0, ws="none", lifespan="off", log_level="critical")
    config.timeout_graceful_shutdown = 2
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, 10, "the application's server")
    here.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield here
    finally:
        server.should_exit = True
        thread.join(10)
