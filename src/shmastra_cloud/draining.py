"""The end of a web process as its parts see it: it has been told to end, and goes on until that is done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Draining:
    """Whether the end has begun; who waits for something else is told."""

    def __init__(self) -> None:
        self.begun = False
        self._event = asyncio.Event()
        self._told: list[Callable[[], None]] = []

    def tell(self, call: Callable[[], None]) -> None:
        """Have ``call`` called when the end begins."""
        self._told.append(call)

    async def wait(self) -> None:
        """Wait for the end to begin."""
        await self._event.wait()

    def begin(self) -> None:
        """Begin the end; a second time does nothing."""
        if self.begun:
            return
        self.begun = True
        self._event.set()
        for call in self._told:
            call()
