"""What keeps a sandbox awake: noted in memory, written in one batch every few seconds."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from shmastra_cloud.database import TROUBLE

if TYPE_CHECKING:
    from uuid import UUID

    from shmastra_cloud.awake import Awake

log = logging.getLogger(__name__)

FLUSH_SECONDS = 15
VISIBLE_SECONDS = 120
BOUND = 50_000


class Activity:
    """Notes who is active and why.

    The idle time is counted from the note, to within one flush, which is at most a third of the idle time.
    """

    def __init__(self, store: Awake, idle_seconds: int) -> None:
        self._store = store
        self._idle_seconds = idle_seconds
        self._pending: dict[UUID, str] = {}
        self._visible: dict[UUID, float] = {}
        self._streams: dict[UUID, int] = {}
        self.flush_seconds = min(FLUSH_SECONDS, idle_seconds / 3)

    def note(self, user_id: UUID, because: str) -> None:
        """Note that a user did something."""
        if len(self._pending) < BOUND:
            self._pending[user_id] = because

    def saw_page(self, user_id: UUID) -> None:
        """Note that a page of his is visible."""
        if len(self._visible) >= BOUND:
            self._visible.clear()
        self._visible[user_id] = time.monotonic()

    def counts(self, user_id: UUID, method: str) -> bool:
        """Tell whether a request is activity: a change always, a read only beside a visible page."""
        if method not in ("GET", "HEAD", "OPTIONS"):
            return True
        return time.monotonic() - self._visible.get(user_id, float("-inf")) < VISIBLE_SECONDS

    def opened(self, user_id: UUID) -> None:
        """Note that an agent's answer is being streamed."""
        self._streams[user_id] = self._streams.get(user_id, 0) + 1

    def closed(self, user_id: UUID) -> None:
        """Note that it has ended."""
        left = self._streams.get(user_id, 0) - 1
        if left > 0:
            self._streams[user_id] = left
        else:
            self._streams.pop(user_id, None)

    async def run(self) -> None:
        """Flush until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(self.flush_seconds)
                await self.flush()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write what was noted; what cannot be written stays noted."""
        for user_id in self._streams:
            self._pending.setdefault(user_id, "stream")
        batch, self._pending = self._pending, {}
        if not batch:
            return
        try:
            await self._store.keep_awake(batch, self._idle_seconds, only_enabled=True)
        except TROUBLE as error:
            log.warning("could not write activity (%s), trying again", type(error).__name__)
            self._pending = batch | self._pending
