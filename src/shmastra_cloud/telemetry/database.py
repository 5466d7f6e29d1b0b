"""What the database says of the whole cloud: one query a scrape at most, kept for a few seconds."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from shmastra_cloud.database import TROUBLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shmastra_cloud.database import Pool

log = logging.getLogger(__name__)

KEEP_SECONDS = 5.0
ASK_SECONDS = 2.0


class Told(NamedTuple):
    """Whether the database answers, and the sandboxes by status where they were asked for."""

    up: bool
    sandboxes: Mapping[str, int] | None


class Asked:
    """Asks the database; a database that is away costs a scrape two seconds, every five at most.

    ``sandboxes`` says whether those are counted too. While it is away the last count stays untold: a number
    that nobody has looked at would be taken for one.
    """

    def __init__(self, pool: Pool, *, sandboxes: bool) -> None:
        self._pool, self._sandboxes = pool, sandboxes
        self._asking = asyncio.Lock()
        self._told = Told(up=False, sandboxes=None)
        self._until = float("-inf")

    async def answer(self) -> Told:
        """Return what the database says, or said a moment ago."""
        async with self._asking:
            if time.monotonic() >= self._until:
                self._told = await self._ask()
                self._until = time.monotonic() + KEEP_SECONDS
        return self._told

    async def _ask(self) -> Told:
        query = "select status, count(*) from sandboxes group by 1" if self._sandboxes else "select 1, 1"
        try:
            async with asyncio.timeout(ASK_SECONDS):
                rows = await self._pool.fetch(query)
        except TROUBLE as error:
            log.warning("the database does not answer (%s)", type(error).__name__)
            return Told(up=False, sandboxes=None)
        return Told(up=True, sandboxes=dict(map(tuple, rows)) if self._sandboxes else None)
