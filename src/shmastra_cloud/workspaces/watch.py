"""The process's view of workspaces: cached rows that notifications drop, and waiting for a change."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable

    from shmastra_cloud.workspaces.store import Workspace, Workspaces

CACHE_SIZE = 10_000
POLL_SECONDS = 1.0


class Watch:
    """Finds a user's workspace without asking the database each time.

    ``trusted`` says whether notifications arrive; while they don't, every look-up is a query.
    """

    def __init__(self, store: Workspaces, trusted: Callable[[], bool]) -> None:
        self._store = store
        self._trusted = trusted
        self._cache: OrderedDict[UUID, Workspace] = OrderedDict()
        self._changed: dict[UUID, asyncio.Event] = {}
        self._generation = 0

    def changed(self, payload: str) -> None:
        """Take a notification: the payload is the user's id."""
        user_id = UUID(payload)
        self._generation += 1
        self._cache.pop(user_id, None)
        event = self._changed.pop(user_id, None)
        if event is not None:
            event.set()

    def drop_all(self) -> None:
        """Forget everything, after notifications may have been missed."""
        self._generation += 1
        self._cache.clear()
        for event in self._changed.values():
            event.set()
        self._changed.clear()

    async def find(self, user_id: UUID) -> Workspace | None:
        """Return the user's workspace, or None; as fresh as the last notification."""
        if self._trusted():
            cached = self._cache.get(user_id)
            if cached is not None:
                return cached
        generation = self._generation
        found = await self._store.find(user_id)
        if found is not None and generation == self._generation:
            self._cache[user_id] = found
            if len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        return found

    async def wait(self, user_id: UUID, seconds: float) -> bool:
        """Wait for a change of the user's workspace; False when none came in time."""
        event = self._changed.setdefault(user_id, asyncio.Event())
        try:
            async with asyncio.timeout(min(seconds, POLL_SECONDS) if not self._trusted() else seconds):
                await event.wait()
        except TimeoutError:
            return not self._trusted()
        return True
