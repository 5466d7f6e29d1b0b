"""The only two ways out of a sandbox: the cloud's socket, and a CONNECT proxy with a list of hosts.

Which listener accepted a connection tells which sandbox it is; nothing in the request does.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import ipaddress
import logging
import re
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10
HEAD_SECONDS = 10
IDLE_SECONDS = 600
MAX_CONNECTIONS = 256
PIECE = 65536
PORTS = frozenset({443, 80})

_TARGET = re.compile(rb"CONNECT ([A-Za-z0-9.-]{1,253}):(\d{1,5}) HTTP/1\.[01]")
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Refused(Exception):  # an answer to the client
    """A connection that is not let out."""


def allowed(host: str, patterns: Sequence[str]) -> bool:
    """Tell whether a host is on the list; ``*`` alone means the whole public internet."""
    name = host.lower().rstrip(".")
    return any(fnmatch.fnmatchcase(name, pattern.lower()) for pattern in patterns)


async def resolve(host: str, port: int) -> str:
    """Return one address of a host, all of whose addresses are public.

    Raises:
        Refused: there is none, or one is private: a name may not lead back inside.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Refused(f"{host} cannot be resolved") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(ipaddress.ip_address(address).is_global for address in addresses):
        raise Refused(f"{host} leads to an address that is not public")
    return addresses[0]


class Bounded:
    """Serves connections with a handler, at most so many at once; every task is owned and ended here."""

    def __init__(self, listener: socket.socket, handle: Callable[[Streams], Awaitable[None]]) -> None:
        self._listener, self._handle = listener, handle
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to accept."""
        self._server = await asyncio.start_server(self._accept, sock=self._listener)

    async def aclose(self) -> None:
        """Stop accepting and end what is open."""
        if self._server is not None:
            self._server.close()
        await self.drop()

    async def drop(self) -> None:
        """End what is open; go on accepting."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._tasks.add(task)
        try:
            await self._handle((reader, writer))
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.debug("a connection out of a sandbox ended (%s)", type(error).__name__)
        finally:
            self._tasks.discard(task)
            writer.close()


def to_socket(path: Path) -> Callable[[Streams], Awaitable[None]]:
    """Return a handler that leads every connection to a unix socket."""

    async def handle(client: Streams) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            upstream = await asyncio.open_unix_connection(str(path))
        await _splice(client, upstream)

    return handle


def proxy(patterns: Callable[[], Sequence[str]], name: str) -> Callable[[Streams], Awaitable[None]]:
    """Return a handler that speaks CONNECT and lets listed hosts through; ``name`` is for the log."""

    async def handle(client: Streams) -> None:
        reader, writer = client
        try:
            upstream = await _dial(reader, patterns(), name)
        except Refused as error:
            body = f"{error}\n".encode()
            writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await _splice(client, upstream)

    return handle


async def _dial(reader: asyncio.StreamReader, patterns: Sequence[str], name: str) -> Streams:
    async with asyncio.timeout(HEAD_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
    match = _TARGET.match(head)
    if match is None:
        raise Refused("only CONNECT HOST:PORT is served here")
    host, port = match[1].decode(), int(match[2])
    if port not in PORTS or not allowed(host, patterns):
        log.warning("%s was refused %s:%d (SHMASTRA_EGRESS_ALLOW would allow it)", name, host, port)
        raise Refused(f"{host}:{port} is not on the list of hosts (SHMASTRA_EGRESS_ALLOW)")
    address = await resolve(host, port)
    async with asyncio.timeout(CONNECT_SECONDS):
        return await asyncio.open_connection(address, port)


async def _splice(client: Streams, upstream: Streams) -> None:
    """Copy both ways until one side ends."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(client[0], upstream[1]))
            group.create_task(_copy(upstream[0], client[1]))
    except* (OSError, TimeoutError):
        log.debug("a connection out of a sandbox broke")
    finally:
        upstream[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        async with asyncio.timeout(IDLE_SECONDS):
            data = await reader.read(PIECE)
        if not data:
            break
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
