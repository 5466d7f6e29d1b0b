"""Sockets inside a sandbox's network namespace, opened from a thread that enters it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CLONE_NEWNET = 0x40000000
BACKLOG = 256
CONNECT_SECONDS = 5

_libc = ctypes.CDLL(None, use_errno=True)


class NetworkNamespace:
    """The network namespace of a process; a socket made in it stays in it, whoever uses it."""

    # one thread for all: it is in the namespace of whoever used it last, and does nothing else
    _thread = ThreadPoolExecutor(1, thread_name_prefix="netns")

    def __init__(self, pid: int) -> None:
        self._descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of the namespace."""
        os.close(self._descriptor)

    async def listen(self, port: int) -> socket.socket:
        """Return a socket that listens on the namespace's own 127.0.0.1."""
        return await self._inside(lambda: _listening(port))

    async def connect(self, port: int) -> socket.socket:
        """Return a socket connected to a port of the namespace's own 127.0.0.1.

        Raises:
            OSError: nothing listens there.
        """
        made = await self._inside(_plain)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
        except BaseException:
            made.close()
            raise
        return made

    async def _inside(self, make: Callable[[], socket.socket]) -> socket.socket:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._enter_and, make)

    def _enter_and(self, make: Callable[[], socket.socket]) -> socket.socket:
        if _libc.setns(self._descriptor, CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return make()


def _plain() -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _listening(port: int) -> socket.socket:
    made = _plain()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    made.listen(BACKLOG)
    return made
