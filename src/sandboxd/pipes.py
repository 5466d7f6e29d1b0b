"""Reading and writing descriptors that would block, from the event loop; nothing is read ahead or held."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def pipe() -> tuple[int, int]:
    """Return both ends of a pipe; neither is given to a program by accident."""
    return os.pipe2(os.O_CLOEXEC)


async def read(descriptor: int, size: int, stop: asyncio.Event | None = None) -> bytes:
    """Return what can be read, at most ``size`` bytes; nothing at the end, or once ``stop`` is set."""
    while True:
        try:
            return os.read(descriptor, size)
        except BlockingIOError:
            if stop is not None and stop.is_set():
                return b""
        except OSError:  # the other end of a terminal is closed
            return b""
        await readable(descriptor, stop)


async def write(descriptor: int, data: bytes) -> None:
    """Write all of it.

    Raises:
        BrokenPipeError: nobody reads it any more.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            await writable(descriptor)


async def readable(descriptor: int, stop: asyncio.Event | None = None) -> None:
    """Wait until something can be read, or ``stop`` is set."""
    loop = asyncio.get_running_loop()
    ready = _wait(descriptor, loop.add_reader, loop.remove_reader)
    if stop is None:
        await ready
        return
    tasks = [asyncio.ensure_future(ready), asyncio.ensure_future(stop.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def writable(descriptor: int) -> None:
    """Wait until something can be written."""
    loop = asyncio.get_running_loop()
    await _wait(descriptor, loop.add_writer, loop.remove_writer)


async def _wait(descriptor: int, add: Callable[..., None], remove: Callable[[int], object]) -> None:
    ready = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add(descriptor, wake)
    try:
        await ready
    finally:
        remove(descriptor)
