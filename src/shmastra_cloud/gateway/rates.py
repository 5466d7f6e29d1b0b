"""What one process holds of one owner's requests or tokens per minute, and of his streams at once.

A minute is the database's: pieces of it are leased in parts, and are lost with it. Tokens that a call turns
out to have used beyond its reservation are owed, and paid within a second.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from shmastra_cloud.gateway.errors import LimitsUnavailable
from shmastra_cloud.gateway.limit_refusals import MINUTE, over_rate, over_streams
from shmastra_cloud.gateway.slices import (
    ASK_SECONDS,
    AWAY,
    LEASE_SECONDS,
    REFUSAL_SECONDS,
    RETRY_SECONDS,
    SURPLUS_SECONDS,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from shmastra_cloud.gateway.leases import Kind, LimitStore

SPARE_SHARE = 16


class Window:
    """Pieces of the running minute that this process may hand out; below zero it owes some."""

    def __init__(  # noqa: PLR0913, PLR0917 -- whose, of what, from where, by which clocks
        self,
        owner: UUID,
        whose: str,
        kind: Kind,
        store: LimitStore,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self.free = 0
        self._owner, self._whose, self._kind, self._store = owner, whose, kind, store
        self._clock, self._now = clock, now
        self._until = -math.inf
        self._asking = asyncio.Lock()
        self._ask_again = -math.inf
        self._refused: tuple[int, int, float] = (0, 0, -math.inf)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to remember."""
        return self._clock() >= self._until and not self._asking.locked()

    @property
    def owes(self) -> bool:
        """Whether more was used in this minute than was leased."""
        return self.free < 0 and self._clock() < self._until

    def limited(self) -> None:
        """Ask anew: the limit has changed."""
        self._refused = (0, 0, -math.inf)
        self.free = min(self.free, 0)

    def quick(self, count: int, now: float) -> bool:
        """Take pieces out of what is free, if that is enough."""
        if self.free < count or now >= self._until:
            return False
        self.free -= count
        return True

    async def take(self, count: int) -> None:
        """Take pieces, leasing what lacks.

        Raises:
            LimitReached: the minute has less.
            LimitsUnavailable: what it has cannot be learnt now.

        """
        async with self._asking:
            now = self._clock()
            if self.quick(count, now):
                return
            least, most, until = self._refused
            if now >= until or count - self.free < least:
                most = await self._lease(count)
            if self.free < count:
                now = self._clock()
                self._refused = (count - self.free, most, min(self._until, now + REFUSAL_SECONDS))
                raise over_rate(self._whose, self._kind, most, max(0.0, self._until - now), self._now())
            self.free -= count

    def use(self, count: int) -> None:
        """Take pieces that were used already."""
        now = self._clock()
        if now >= self._until:
            self.free, self._until = 0, now + MINUTE  # of a minute that was not asked about yet
        self.free -= count

    async def pay(self) -> None:
        """Have what is owed counted."""
        async with self._asking:
            await self._lease(0)

    async def _lease(self, count: int) -> int:
        asked = self._clock()
        if asked < self._ask_again:
            raise LimitsUnavailable(AWAY)
        if asked >= self._until:
            self.free = 0
        free = self.free
        owed = max(0, -free)
        try:
            async with asyncio.timeout(ASK_SECONDS):
                lease = await self._store.rate(self._owner, self._kind, max(0, count - max(0, free)), owed)
        except Exception as error:
            self._ask_again = self._clock() + RETRY_SECONDS
            raise LimitsUnavailable(AWAY) from error
        self.free += lease.granted + owed
        self._until = asked + lease.seconds
        return count if lease.most is None else lease.most


class Slots:
    """Streams that this process may have open: ``held`` of them, ``used`` now."""

    def __init__(self, owner: UUID, whose: str, store: LimitStore, clock: Callable[[], float]) -> None:
        self.held = self.used = 0
        self._owner, self._whose, self._store, self._clock = owner, whose, store, clock
        self._until = self._used_at = self._ask_again = -math.inf
        self._asking = asyncio.Lock()
        self._refused: tuple[int, float] = (0, -math.inf)
        self._spare = 0

    @property
    def idle(self) -> bool:
        """Whether none is held, and nobody asks."""
        return not self.held and not self.used and not self._asking.locked()

    @property
    def spares(self) -> bool:
        """Whether more are held than are needed."""
        quiet = self._clock() - self._used_at >= SURPLUS_SECONDS
        return quiet and self.held > self.used and not self._asking.locked()

    def limited(self, most: int | None) -> None:
        """Take over a changed limit."""
        self._spare = 0 if most is None else most // SPARE_SHARE
        self._until = -math.inf
        self._refused = (0, -math.inf)

    def quick(self, now: float) -> bool:
        """Open a stream, if one is to be had without asking."""
        if self.used >= self.held or now >= self._until:
            return False
        self.used += 1
        return True

    async def take(self) -> None:
        """Open a stream.

        Raises:
            LimitReached: as many as may be are open.
            LimitsUnavailable: how many there are cannot be learnt now.

        """
        async with self._asking:
            now = self._clock()
            if self.quick(now):
                return
            most, until = self._refused
            if now >= until:
                most = await self._lease(self.used + 1 + self._spare)
            if self.used >= self.held:
                self._refused = (most, until if now < until else now + REFUSAL_SECONDS)
                raise over_streams(self._whose, most)
            self.used += 1

    def release(self) -> None:
        """Close a stream."""
        self.used -= 1
        self._used_at = self._clock()

    async def give_back(self) -> None:
        """Hold no more than are open."""
        async with self._asking:
            await self._lease(self.used)

    def kept(self, asked: float) -> None:
        """Learn that what was held is held on."""
        if self._until > -math.inf:
            self._until = max(self._until, asked + LEASE_SECONDS)

    async def _lease(self, wanted: int) -> int:
        asked = self._clock()
        if asked < self._ask_again:
            raise LimitsUnavailable(AWAY)
        try:
            async with asyncio.timeout(ASK_SECONDS):
                lease = await self._store.streams(self._owner, wanted)
        except Exception as error:
            self._ask_again = self._clock() + RETRY_SECONDS
            raise LimitsUnavailable(AWAY) from error
        self.held, self._until = lease.granted, asked + LEASE_SECONDS
        return wanted if lease.most is None else lease.most
