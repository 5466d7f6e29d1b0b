"""Connections to upstreams, kept for the next request while they are fresh."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakSet

from httprelay.connection import Connection
from httprelay.errors import ConnectFailed, Stopping, TooManyConnections

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

EXPIRY_SECONDS = 0.5


@dataclass(frozen=True)
class Target:
    """Where an upstream listens: a TCP address, with TLS or without, a Unix socket, or what ``dial`` reaches.

    ``dial`` gives a connected, non-blocking socket, such as one opened in another network namespace.
    """

    host: str = "localhost"
    port: int = 80
    tls: bool = False
    unix_socket: str | None = None
    dial: Callable[[], Awaitable[socket.socket]] | None = None

    @cached_property
    def authority(self) -> bytes:
        """What the Host header says by default."""
        default = 443 if self.tls else 80
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if self.port == default else f"{host}:{self.port}").encode()


class _Place:
    """The connections of one target: idle ones, the latest used last, and how many are in use."""

    __slots__ = ("idle", "in_use")

    def __init__(self) -> None:
        self.idle: deque[Connection] = deque()
        self.in_use = 0


class Pool:
    """Connections by target; a node server closes idle ones after 5 s, so ours are dropped before that.

    Of each target at most ``limit`` are in use at once, and at most ``keep`` idle. ``tls`` says whose
    certificates are trusted; the system's by default, or those in the file that ``SSL_CERT_FILE`` names.
    """

    def __init__(
        self,
        *,
        limit: int = 4096,
        keep: int = 64,
        idle_seconds: float = 4.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._limit, self._keep, self._idle_seconds, self._tls = limit, keep, idle_seconds, tls
        self._places: dict[Target, _Place] = {}
        self._open: WeakSet[Connection] = WeakSet()
        self._closed = self._stopping = False
        self._next_expiry = 0.0

    async def acquire(self, target: Target, seconds: float) -> tuple[Connection, bool]:
        """Return a connection, and whether it carried a request before.

        Raises:
            ConnectFailed: there is none to be had in time.

        """
        connection = self.take(target)
        if connection is not None:
            return connection, True
        return await self.connect(target, seconds), False

    def take(self, target: Target) -> Connection | None:
        """Return the connection that was used last, if one is open and idle."""
        now = asyncio.get_running_loop().time()
        if now >= self._next_expiry:
            self._expire(now)
        place = self._places.get(target)
        while place is not None and place.idle:
            connection = place.idle.pop()
            if connection.idle_since < now - self._idle_seconds:
                connection.abort()
            elif not connection.closed:
                place.in_use += 1
                return connection
        return None

    async def connect(self, target: Target, seconds: float) -> Connection:
        """Return a new connection.

        Raises:
            ConnectFailed: there is none to be had in time.
            Stopping: everything was cut.

        """
        if self._is_cut():
            raise _cut()
        place = self._places.setdefault(target, _Place())
        if place.in_use >= self._limit:
            raise TooManyConnections(f"{self._limit} connections to {target.host} are in use")
        place.in_use += 1
        try:
            async with asyncio.timeout(seconds):
                connection = await self._connect(target)
        except OSError as error:  # TimeoutError and SSLError are among them
            place.in_use -= 1
            raise ConnectFailed(_why(target, error)) from error
        except BaseException:
            place.in_use -= 1
            raise
        self._open.add(connection)
        if self._is_cut():  # meanwhile
            self.give_back(target, connection, reusable=False)
            raise _cut()
        return connection

    def give_back(self, target: Target, connection: Connection, *, reusable: bool) -> None:
        """Keep a connection for the next request, or close it."""
        place = self._places[target]
        place.in_use -= 1
        if not connection.release(reusable=reusable and not self._closed):
            return
        place.idle.append(connection)
        if len(place.idle) > self._keep:
            place.idle.popleft().abort()

    def counts(self) -> dict[str, int]:
        """Return how many connections are in use, and idle."""
        places = self._places.values()
        return {
            "in_use": sum(place.in_use for place in places),
            "idle": sum(len(place.idle) for place in places),
        }

    def cut(self) -> None:
        """End every exchange at once, as if its upstream had broken off, and begin no other."""
        self._stopping = self._closed = True
        for connection in list(self._open):
            connection.fail(_cut())

    async def aclose(self) -> None:
        """Close what is idle; connections in use close when they are given back."""
        self._closed = True
        for place in self._places.values():
            for connection in place.idle:
                connection.abort()
            place.idle.clear()
        await asyncio.sleep(0)

    def _is_cut(self) -> bool:
        return self._stopping

    async def _connect(self, target: Target) -> Connection:
        loop = asyncio.get_running_loop()
        if target.unix_socket is not None:
            return (await loop.create_unix_connection(Connection, target.unix_socket))[1]
        if target.dial is not None:
            return (await loop.create_connection(Connection, sock=await target.dial()))[1]
        if not target.tls:
            return (await loop.create_connection(Connection, target.host, target.port))[1]
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        made = await loop.create_connection(Connection, target.host, target.port, ssl=self._tls)
        return made[1]

    def _expire(self, now: float) -> None:
        self._next_expiry = now + EXPIRY_SECONDS
        oldest = now - self._idle_seconds
        for target, place in list(self._places.items()):
            while place.idle and (place.idle[0].closed or place.idle[0].idle_since < oldest):
                place.idle.popleft().abort()
            if not place.idle and not place.in_use:
                del self._places[target]


def _cut() -> Stopping:
    return Stopping("the process that relays is about to end")


def _why(target: Target, error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {target.host}:{target.port} is not trusted: {error.verify_message}"
    return f"cannot connect to {target.unix_socket or target.host}: {error!r}"
