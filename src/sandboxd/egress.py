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
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10
HEAD_SECONDS = 10
IDLE_SECONDS = 600
MAX_CONNECTIONS = 256
PIECE = 65536
RESOLVE_SECONDS = 5
RESOLVERS = 8
PORTS = frozenset({443, 80})

_TARGET = re.compile(rb"CONNECT ([A-Za-z0-9.-]{1,253}):(\d{1,5}) HTTP/1\.[01]\r\n")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# of its own, so that names that do not resolve hold up nothing else
_resolving = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")
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
    loop = asyncio.get_running_loop()
    asked = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await loop.run_in_executor(_resolving, asked)
    except (OSError, UnicodeError) as error:
        raise Refused(f"{host} cannot be resolved") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(map(public, addresses)):
        raise Refused(f"{host} leads to an address that is not public")
    return addresses[0]


def public(text: str) -> bool:
    """Tell whether an address is one of the public internet, and holds no other that is not."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        held = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            held.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if any(one is not None and not public(str(one)) for one in held):
            return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_link_local
    )


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
        await _Splice(client, upstream).run()

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
        await _Splice(client, upstream).run()

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


class _Splice:
    """A connection through: both ways, until both have ended or nothing has moved either way for long."""

    def __init__(self, client: Streams, upstream: Streams) -> None:
        self._client, self._upstream = client, upstream
        self._moved = 0.0

    async def run(self) -> None:
        self._moved = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(self._client[0], self._upstream[1]))
                group.create_task(self._copy(self._upstream[0], self._client[1]))
        except* (OSError, TimeoutError):
            log.debug("a connection out of a sandbox broke")
        finally:
            self._upstream[1].close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await self._within_idle(reader.read(PIECE)):
            self._moved = loop.time()
            writer.write(data)
            await self._within_idle(writer.drain())
            self._moved = loop.time()
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def _within_idle(self, waiting: Awaitable[Any]) -> Any:
        """Wait as long as something moves, be it the other way."""
        task = asyncio.ensure_future(waiting)
        try:
            while not task.done():
                left = self._moved + IDLE_SECONDS - asyncio.get_running_loop().time()
                if left <= 0:
                    raise TimeoutError
                await asyncio.wait([task], timeout=left)
            return task.result()
        finally:
            task.cancel()
