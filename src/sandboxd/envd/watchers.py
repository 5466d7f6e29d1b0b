"""A folder that is watched: what changed is kept until it is asked for, up to a bound."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Self

from connectrpc.code import Code
from connectrpc.errors import ConnectError

if TYPE_CHECKING:
    from sandboxd.envd.helper import Call, Helper

MAX_EVENTS = 10_000
START_SECONDS = 20
LOST = "more changed than was kept; look at the folder itself, and watch it anew"


class Watcher:
    """One watched folder, followed by a task of its own."""

    def __init__(self, helper: Helper, call: Call) -> None:
        self._helper, self._call = helper, call
        self._events: list[Any] = []
        self._more = asyncio.Event()
        self._error: ConnectError | None = None
        self._task = asyncio.create_task(self._follow())

    @classmethod
    async def start(cls, helper: Helper, **asked: Any) -> Self:
        """Begin to watch.

        Raises:
            ConnectError: the folder cannot be watched.
        """
        call = await helper.ask("watch", **asked)
        try:
            async with asyncio.timeout(START_SECONDS):
                await call.answer("ok")
        except BaseException:
            call.close()
            raise
        return cls(helper, call)

    def take(self) -> list[Any]:
        """Return what changed since the last time.

        Raises:
            ConnectError: it is watched no more.
        """
        if not self._events and self._error is not None:
            raise self._error
        taken, self._events = self._events, []
        if self._error is None:
            self._more.clear()
        return taken

    async def next(self) -> list[Any]:
        """Wait for changes and return them.

        Raises:
            ConnectError: it is watched no more.
        """
        await self._more.wait()
        return self.take()

    async def aclose(self) -> None:
        """Stop watching."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._call.close()
        with contextlib.suppress(ConnectError, TimeoutError):  # it may be gone, and the watch with it
            async with asyncio.timeout(START_SECONDS):
                await self._helper.done("unwatch", watch=self._call.number)

    async def _follow(self) -> None:
        try:
            while len(self._events) < MAX_EVENTS:
                events = await self._call.answer("events")
                self._events += events if isinstance(events, list) else []
                self._more.set()
            self._error = ConnectError(Code.RESOURCE_EXHAUSTED, LOST)
        except ConnectError as error:
            self._error = error
        self._more.set()
