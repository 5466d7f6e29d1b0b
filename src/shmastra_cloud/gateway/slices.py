"""What one process holds of one owner's budget, and how calls reserve from it without asking anyone.

At every instant, for each slice: free + reserved by running calls + settled but not written yet <= what the
database knows to be held in it. So a process that dies leaves no less held than it may have spent.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from shmastra_cloud.gateway.budget import SLICE, SLICE_SHARE, Standing, as_date
from shmastra_cloud.gateway.errors import LimitsUnavailable
from shmastra_cloud.gateway.limit_refusals import over_budget

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from shmastra_cloud.gateway.budget import Limits, Period
    from shmastra_cloud.gateway.leases import LimitStore, MoneyLease

log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
ASK_SECONDS = 3.0
RETRY_SECONDS = 0.5
REFUSAL_SECONDS = 1.0
RECALL_SECONDS = 0.15
SURPLUS_SECONDS = 2.0
IDLE_SECONDS = 10.0
AHEAD_SHARE = 8
AWAY = "What is left of a budget or limit cannot be learnt at the moment; try again shortly."


class Slice:
    """Units of one day: ``free`` ones, and how many calls (``open``) hold others."""

    __slots__ = ("day", "free", "id", "open", "until", "unwritten", "used_at")

    def __init__(self, day: int) -> None:
        self.id = uuid4()
        self.day = day
        self.free = self.open = self.unwritten = 0
        self.until = self.used_at = -math.inf

    @property
    def drained(self) -> bool:
        """Whether nothing that it held is in use or yet to be written."""
        return self.open == 0 and self.unwritten == 0


class Money:
    """The slices of one owner, by day; ``whose`` begins a sentence ("Your")."""

    def __init__(
        self,
        owner: UUID,
        whose: str,
        store: LimitStore,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self.owner, self.slices = owner, dict[int, Slice]()
        self._whose, self._store, self._clock, self._now = whose, store, clock, now
        self._asking = asyncio.Lock()
        self._ask_again = -math.inf
        self._standing = Standing()
        self._tightest: tuple[Period, int] | None = None
        self._refused: tuple[int, float] = (0, -math.inf)
        self.hurried = False
        self._chunk = SLICE

    def limited(self, limits: Limits) -> None:
        """Take over limits that have changed; what is free is to be leased anew under them."""
        budgets = [one for one in (limits.usd_per_day, limits.usd_per_month) if one is not None]
        self._chunk = min([SLICE, *(one // SLICE_SHARE for one in budgets)])
        self._refused = (0, -math.inf)
        self.hurried = True

    @property
    def idle(self) -> bool:
        """Whether nothing is held and nobody asks."""
        return not self.slices and not self._asking.locked()

    def remaining(self, slice_: Slice) -> tuple[Period, int] | None:
        """Return the budget of which the least is left, and what is unreserved of it, as last heard."""
        found = self._tightest
        return None if found is None else (found[0], max(0, found[1] + slice_.free))

    def quick(self, day: int, amount: int, now: float) -> Slice | None:
        """Take units for a call out of what is free, if that is plenty; ``now`` is the clock's."""
        found = self.slices.get(day)
        if found is None or found.free < amount or now >= found.until:
            return None
        found.free -= amount
        found.open += 1
        found.used_at = now
        return found

    async def take(self, day: int, start: int, least: int) -> tuple[Slice, int]:
        """Take ``start`` units for a call, or less, but ``least``, where little is left; lease what lacks.

        What little is left is shared: a call that can do with less takes a part of it.

        Raises:
            LimitReached: there is less.
            LimitsUnavailable: what there is cannot be learnt now.

        """
        async with self._asking:
            found = self.slices.get(day)
            if found is None:
                found = self.slices[day] = Slice(day)
            await self._fill(found, start, least)
            taken = min(
                start, max(least, found.free // AHEAD_SHARE) if found.free < start * AHEAD_SHARE else start
            )
            if found.free < taken:
                raise over_budget(self._whose, self._standing, least, found.free, day, self._now())
            found.free -= taken
            found.open += 1
            return found, taken

    def ahead(self, slice_: Slice, amount: int, step: int) -> int:
        """Take what a running call lacks (``amount``), and a step more, out of what is free."""
        now = self._clock()
        if slice_.free < amount or now >= slice_.until:
            return 0
        taken = amount + min(step, (slice_.free - amount) // AHEAD_SHARE)
        slice_.free -= taken
        slice_.used_at = now
        return taken

    async def more(self, slice_: Slice, amount: int, step: int) -> int:
        """Take more for a running call, leasing what lacks; return less than ``amount`` where that is all.

        Raises:
            LimitsUnavailable: what there is cannot be learnt now.

        """
        async with self._asking:
            await self._fill(slice_, amount + step, 1)
            taken = max(0, min(amount + step, slice_.free))
            slice_.free -= taken
            return taken

    def put_back(self, slice_: Slice, amount: int) -> None:
        """Make units free that a call did not need after all."""
        slice_.free += amount

    def settle(self, slice_: Slice, reserved: int, cost: int) -> None:
        """End a call's reservation: what it cost is to be written, the rest is free."""
        slice_.free += reserved - cost
        slice_.unwritten += cost
        slice_.open -= 1
        slice_.used_at = self._clock()

    async def _fill(self, slice_: Slice, start: int, least: int) -> None:
        """Lease what a slice lacks of ``start``; where others hold what is missing, ask once more."""
        now = self._clock()
        slice_.used_at = now
        if now < slice_.until and (slice_.free >= start or self._is_refused(slice_, start, least, now)):
            return
        before = slice_.free
        lease = await self._lease(slice_, start, least)
        if slice_.free < least and before > 0 and not lease.there:  # what was thought to be free is gone
            lease = await self._lease(slice_, start, least)
        if slice_.free < least and lease.standing.others > 0:
            await asyncio.sleep(RECALL_SECONDS)  # they were told to give back what they do not use
            lease = await self._lease(slice_, start, least)
        if slice_.free < start:
            lacks = least - slice_.free if lease.standing.room else 1
            self._refused = (max(1, lacks), self._clock() + REFUSAL_SECONDS)

    def _is_refused(self, slice_: Slice, start: int, least: int, now: float) -> bool:
        """Whether asking would be in vain, as it was a moment ago."""
        refused, until = self._refused
        lacks = (start if slice_.free >= least else least) - slice_.free
        return now < until and lacks >= refused

    async def _lease(self, slice_: Slice, start: int, least: int) -> MoneyLease:
        if self._clock() < self._ask_again:
            raise LimitsUnavailable(AWAY)
        # In a task of its own: who waits may be cancelled, and what was granted must be known.
        lease = await asyncio.shield(asyncio.ensure_future(self._ask(slice_, start, least)))
        if lease is None:
            raise LimitsUnavailable(AWAY)
        return lease

    async def _ask(self, slice_: Slice, start: int, least: int) -> MoneyLease | None:
        """Add a lease to a slice; None where the database does not give any."""
        asked, free = self._clock(), slice_.free
        need, least = max(0, start - free), max(0, least - free)
        try:
            async with asyncio.timeout(ASK_SECONDS):
                lease = await self._store.lease(slice_.id, self.owner, as_date(slice_.day), need, least)
        except Exception as error:  # noqa: BLE001 -- whatever the store's own kind of failure is
            self._ask_again = self._clock() + RETRY_SECONDS
            log.warning("a budget cannot be leased from (%s)", type(error).__name__)
            return None
        slice_.free = (slice_.free if lease.there else min(0, slice_.free)) + lease.granted
        slice_.until = asked + LEASE_SECONDS
        self._stands(lease.standing)
        return lease

    def kept(self, there: Collection[UUID], asked: float) -> None:
        """Learn which slices the database still held ``asked`` (the clock's time) or later."""
        for slice_ in self.slices.values():
            if slice_.id in there:
                slice_.until = max(slice_.until, asked + LEASE_SECONDS)
            elif slice_.until < asked + LEASE_SECONDS:  # not leased since
                slice_.free = min(0, slice_.free)

    def closing(self, today: int) -> Iterator[Slice]:
        """Take out the slices that have served, to be closed."""
        if self._asking.locked():
            return
        now = self._clock()
        for slice_ in list(self.slices.values()):
            if slice_.drained and (slice_.day != today or now - slice_.used_at >= IDLE_SECONDS):
                del self.slices[slice_.day]
                self._ease(slice_.free)
                yield slice_

    def surplus(self, today: int) -> Iterator[tuple[UUID, int]]:
        """Take out of the slices what this process does not need, to be given back."""
        if self._asking.locked():
            return
        now = self._clock()
        for slice_ in self.slices.values():
            idle = now - slice_.used_at
            if self.hurried or idle >= IDLE_SECONDS or slice_.day != today:
                keep = 0
            else:
                keep = self._chunk if idle >= SURPLUS_SECONDS else slice_.free
            if slice_.free > keep:
                amount, slice_.free = slice_.free - keep, keep
                self._ease(amount)
                yield slice_.id, amount
        self.hurried = False

    def _ease(self, amount: int) -> None:
        self._stands(self._standing.eased(amount))

    def _stands(self, standing: Standing) -> None:
        self._standing, found = standing, standing.tightest
        self._tightest = None if found is None else (found[0], found[1].room)
