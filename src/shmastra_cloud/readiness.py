"""``GET /ready``: whether everything that a web process depends on answers."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from shmastra_cloud.draining import Draining

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

log = logging.getLogger(__name__)

ASK_SECONDS = 3.0
KEEP_SECONDS = 1.0
OK = "ok"


class Readiness:
    """Asks each dependency; answers are kept for a second, so that anybody may ask as often as he likes.

    A check returns None where all is well, else what is wrong and what to do; if it raises, nothing answers.
    From the moment on that the process is told to end, it is not ready, so that nobody is sent to it.
    """

    def __init__(
        self, checks: Mapping[str, Callable[[], Awaitable[str | None]]], draining: Draining | None = None
    ) -> None:
        self._checks, self._draining = checks, draining or Draining()
        self._asking = asyncio.Lock()
        self._told: dict[str, str] = {}
        self._until = float("-inf")

    def process(self) -> tuple[int, dict[str, str]]:
        """Return the same of this process alone, for a load balancer: 503 only where it is about to end."""
        return (503, {"web": "is about to end"}) if self._draining.begun else (200, {"web": OK})

    async def answer(self) -> tuple[int, dict[str, str]]:
        """Return 200 where everything is well, else 503, and what each said."""
        if self._draining.begun:
            return self.process()
        async with self._asking:
            if time.monotonic() >= self._until:
                said = await asyncio.gather(*(self._ask(name, check) for name, check in self._checks.items()))
                self._told = dict(zip(self._checks, said, strict=True))
                self._until = time.monotonic() + KEEP_SECONDS
        return 200 if set(self._told.values()) <= {OK} else 503, self._told

    async def _ask(self, name: str, check: Callable[[], Awaitable[str | None]]) -> str:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await check() or OK
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is not to be had
            log.warning("%s does not answer (%s)", name, type(error).__name__)
            return "does not answer"
