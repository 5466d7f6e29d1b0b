"""How a web process ends and loses nobody: not ready, no longer listening, waiting, cutting the rest."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from httprelay import BoundedHttpProtocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import uvicorn

    from shmastra_cloud.web_process import Cloud

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.05


class End:
    """When the end begins, and how much time there is: until it stops listening, and then for what runs.

    Told a second time, it gives no time any more.
    """

    def __init__(self, notice_seconds: float, drain_seconds: float) -> None:
        self.notice_seconds, self.drain_seconds = notice_seconds, drain_seconds
        self.begun, self.hurried = asyncio.Event(), asyncio.Event()

    def begin(self) -> None:
        """Begin, or make haste."""
        (self.hurried if self.begun.is_set() else self.begun).set()

    async def rest(self, seconds: float) -> None:
        """Let time go by, unless there is none any more."""
        try:
            async with asyncio.timeout(seconds):
                await self.hurried.wait()
        except TimeoutError:
            return


async def drain(end: End, cloud: Cloud, servers: Sequence[uvicorn.Server]) -> None:
    """Bring what runs to its end, by itself where that takes not too long.

    ``/ready`` says no at once, so that a load balancer sends nobody here any more while this process still
    listens. Then it takes no new connections, and those that are idle close. What still runs when its time
    is up is cut: streams of events end with one that says so, WebSockets with 1012 (service restart).
    """
    cloud.draining.begin()
    await end.rest(end.notice_seconds)
    for server in servers:
        for listening in getattr(server, "servers", ()):
            listening.close()
        _close_idle(server)
    await _until_none(end, servers)
    left = sum(len(server.server_state.connections) for server in servers)
    if left:
        log.warning("%d connections are cut, as the process ends", left)
    for cut in cloud.cutting:
        cut()
    await asyncio.sleep(0)


def _close_idle(server: uvicorn.Server) -> None:
    """Close what carries nothing, and the rest after its answer; WebSockets go on."""
    for connection in list(server.server_state.connections):
        if isinstance(connection, BoundedHttpProtocol):
            connection.shutdown()


async def _until_none(end: End, servers: Sequence[uvicorn.Server]) -> None:
    loop = asyncio.get_running_loop()
    last = loop.time() + end.drain_seconds
    while any(server.server_state.connections for server in servers):
        if end.hurried.is_set() or loop.time() >= last:
            return
        await asyncio.sleep(LOOK_SECONDS)
