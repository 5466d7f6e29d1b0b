"""LISTEN/NOTIFY: one connection per process, re-made when it breaks, that calls handlers."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

import asyncpg

from shmastra_cloud.database.address import cleaned
from shmastra_cloud.database.errors import TROUBLE
from shmastra_cloud.database.pool import session_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

PING_SECONDS = 1
PING_ANSWER_SECONDS = 2
STATEMENT_SECONDS = 5


class Notifications:
    """Calls ``handlers[channel](payload)`` for each notification.

    While the connection is broken :attr:`connected` is false and whoever caches must not trust the cache;
    on every (re)connection ``on_connect`` is called, since notifications of the gap are lost. ``pulse`` is
    awaited with the connection when it is made and then every second.
    """

    def __init__(
        self,
        dsn: str,
        handlers: dict[str, Callable[[str], None]],
        on_connect: Callable[[], None],
        pulse: Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[None]] | None = None,
    ) -> None:
        self._dsn = cleaned(dsn)
        self._handlers = handlers
        self._on_connect = on_connect
        self._pulse = pulse or _rest
        self.connected = False

    def subscribe(self, handlers: dict[str, Callable[[str], None]], on_connect: Callable[[], None]) -> None:
        """Set who is called; only before :meth:`run`."""
        self._handlers, self._on_connect = handlers, on_connect

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen_once()
            except TROUBLE as error:
                log.warning("lost the notification connection (%s), reconnecting", type(error).__name__)
            finally:
                self.connected = False
            await asyncio.sleep(0.2 + random.random())  # noqa: S311  # jitter, not a secret

    async def _listen_once(self) -> None:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=5,
            command_timeout=STATEMENT_SECONDS,
            server_settings={"application_name": session_name()},
        )
        closed = asyncio.Event()
        connection.add_termination_listener(lambda _connection: closed.set())
        try:
            for channel in self._handlers:
                await connection.add_listener(channel, self._dispatch)
            await self._pulse(connection)
            self.connected = True
            self._on_connect()
            while not await _happens(closed, PING_SECONDS):
                await connection.execute("select 1", timeout=PING_ANSWER_SECONDS)
                await self._pulse(connection)
            log.warning("the notification connection was closed, reconnecting")
        finally:
            connection.terminate()

    def _dispatch(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        self._handlers[channel](str(payload))


async def _rest(_connection: object) -> None:
    """Do nothing."""


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
