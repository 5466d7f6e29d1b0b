"""The ledger of one process: which limits hold for a call, and what is reserved for it before it is sent on.

Money is leased in slices out of budgets that the database keeps (`slices.py`), minutes and streams in parts
(`rates.py`), so that only an empty slice costs a query; and who has no limit costs a look into a dictionary.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING
from uuid import UUID

from shmastra_cloud.gateway.budget import EVERYONE, ORGANIZATION, Limits, day_of
from shmastra_cloud.gateway.rates import Slots, Window
from shmastra_cloud.gateway.reservation import Reservation
from shmastra_cloud.gateway.slices import Money, Slice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shmastra_cloud.gateway.budget import Ask
    from shmastra_cloud.gateway.leases import LimitStore
    from shmastra_cloud.gateway.usage import UsageRow

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
KEEP_SECONDS = 15.0
FORGET_SECONDS = 60.0
KNOWN_USERS = 50_000
_NOTHING = Limits()


class Account:
    """What one owner may use, and what this process holds of it."""

    __slots__ = ("limits", "money", "rated", "requests", "streams", "tokens")

    def __init__(
        self,
        owner: UUID,
        whose: str,
        store: LimitStore,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self.limits = _NOTHING
        self.rated = False
        self.money = Money(owner, whose, store, clock, now)
        self.requests = Window(owner, whose, "requests", store, clock, now)
        self.tokens = Window(owner, whose, "tokens", store, clock, now)
        self.streams = Slots(owner, whose, store, clock)

    def limited(self, limits: Limits) -> None:
        """Take over limits, if they have changed."""
        if limits != self.limits:
            self.limits = limits
            self.rated = limits.rated
            self.money.limited(limits)
            self.requests.limited()
            self.tokens.limited()
            self.streams.limited(limits.streams)

    @property
    def idle(self) -> bool:
        """Whether this process holds nothing of it."""
        return self.money.idle and self.requests.idle and self.tokens.idle and self.streams.idle


class Limiter:
    """Reserves calls for their users and the organization; :meth:`run` keeps what is held in order.

    :meth:`load` it before the first call. ``listening`` tells whether a changed limit would be heard of.
    """

    def __init__(
        self,
        store: LimitStore,
        *,
        listening: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._listening, self._clock, self._now = store, listening, clock, now
        self._set: Mapping[UUID, Limits] = {}
        self._accounts: dict[UUID, Account] = {}
        self._holding: dict[UUID, tuple[Account, ...]] = {}
        self._slices: dict[UUID, Slice] = {}
        self._to_close: set[UUID] = set()
        self._any = self._stale = False
        self._woken = asyncio.Event()
        self._keep_at = self._forget_at = 0.0

    async def load(self) -> None:
        """Read all limits anew."""
        self._stale = False
        try:
            self._set = await self._store.limits()
        except BaseException:
            self._stale = True
            raise
        self._any = any(limits.over(_NOTHING) for limits in self._set.values())
        self._holding.clear()
        for owner, account in self._accounts.items():
            account.limited(self._limits(owner))

    def heard(self) -> dict[str, Callable[[str], None]]:
        """Return what to do on which notification of the database's."""
        return {
            "budget": lambda _owner: self.changed(),
            "budget_recall": lambda owner: self.recall(UUID(owner)),
        }

    def changed(self) -> None:
        """Learn that a limit has changed, or may have."""
        self._stale = True
        self._woken.set()

    def recall(self, owner: UUID) -> None:
        """Learn that another process lacks what this one may not need."""
        account = self._accounts.get(owner)
        if account is not None:
            account.money.hurried = True
            self._woken.set()

    def accounts(self, user_id: UUID) -> tuple[Account, ...]:
        """Return whose limits hold for a user's calls: none, his, the organization's or both."""
        if not self._any:
            return ()
        found = self._holding.get(user_id)
        return self._find(user_id) if found is None else found

    def _find(self, user_id: UUID) -> tuple[Account, ...]:
        if len(self._holding) >= KNOWN_USERS:
            self._holding.clear()
        found = tuple(
            self._account(owner, limits)
            for owner in (user_id, ORGANIZATION)
            if (limits := self._limits(owner))
        )
        self._holding[user_id] = found
        return found

    def _limits(self, owner: UUID) -> Limits:
        everyone = _NOTHING if owner == ORGANIZATION else self._set.get(EVERYONE, _NOTHING)
        return self._set.get(owner, _NOTHING).over(everyone)

    def _account(self, owner: UUID, limits: Limits) -> Account:
        account = self._accounts.get(owner)
        if account is None:
            whose = "The organization's" if owner == ORGANIZATION else "Your"
            account = self._accounts[owner] = Account(owner, whose, self._store, self._clock, self._now)
        account.limited(limits)
        return account

    async def reserve(self, accounts: tuple[Account, ...], ask: Ask, at: float | None = None) -> Reservation:
        """Reserve what a call asks for, of all whose limits hold for it, or nothing.

        ``at`` (seconds since 1970; now) is when it began: it is charged to that day, however late it ends.

        Raises:
            LimitReached: one of them has too little left.
            LimitsUnavailable: what is left cannot be learnt now.

        """
        reservation = Reservation(ask.start, ask.step, ask.tokens)
        counted: list[tuple[Window, int]] = []
        try:
            for account in accounts:
                if account.rated:
                    await self._count(account, ask, reservation, counted)
            if ask.start:
                day = day_of(self._now() if at is None else at)
                for account in accounts:
                    if account.limits.money:
                        await self._pay(account.money, day, ask.least, reservation)
        except BaseException:
            for window, count in counted:
                window.free += count
            reservation.settle(0)
            raise
        return reservation

    async def _count(
        self, account: Account, ask: Ask, reservation: Reservation, counted: list[tuple[Window, int]]
    ) -> None:
        limits, now = account.limits, self._clock()
        if limits.streams is not None and ask.streams:
            if not account.streams.quick(now):
                await account.streams.take()
            reservation.opened(account.streams)
        if limits.requests_per_minute is not None:
            if not account.requests.quick(1, now):
                await account.requests.take(1)
            counted.append((account.requests, 1))
        if limits.tokens_per_minute is not None and ask.tokens:
            if not account.tokens.quick(ask.tokens, now):
                await account.tokens.take(ask.tokens)
            counted.append((account.tokens, ask.tokens))
            reservation.counted(account.tokens)

    async def _pay(self, money: Money, day: int, least: int, reservation: Reservation) -> None:
        taken = reservation.amount
        slice_ = money.quick(day, taken, self._clock())
        if slice_ is None:
            slice_, taken = await money.take(day, taken, least)
            self._slices[slice_.id] = slice_
        reservation.took(money, slice_, taken)

    def written(self, rows: Sequence[UsageRow]) -> None:
        """Learn that rows are in the database, and so what they cost."""
        for row in rows:
            for lease in row.leases:
                slice_ = self._slices.get(lease)
                if slice_ is not None:
                    slice_.unwritten -= row.units

    async def run(self) -> None:
        """Keep in order what is held, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()
            try:
                await self.tick()
            except Exception as error:  # noqa: BLE001 -- whatever the store's own kind of failure is
                log.warning("leases of budgets cannot be kept (%s), trying again", type(error).__name__)
                await asyncio.sleep(TICK_SECONDS)

    async def tick(self) -> None:
        """Read changed limits, put expiries off, give back what is not needed; all that is due."""
        if self._stale or not self._listening():
            await self.load()
        if self._clock() >= self._keep_at and self._accounts:
            await self._keep()
        for account in list(self._accounts.values()):
            for window in (account.requests, account.tokens):
                if window.owes:
                    await window.pay()
            if account.streams.spares:
                await account.streams.give_back()
        await self._return()
        if self._clock() >= self._forget_at:
            self._forget()

    def _forget(self) -> None:
        """Forget the accounts of which nothing was held and nobody asked since the last time."""
        self._forget_at = self._clock() + FORGET_SECONDS
        idle = {owner for owner, account in self._accounts.items() if owner != ORGANIZATION and account.idle}
        for owner in idle:
            if self._holding.pop(owner, None) is None:
                del self._accounts[owner]

    async def _keep(self) -> None:
        asked = self._clock()
        there = await self._store.keep()
        self._keep_at = asked + KEEP_SECONDS
        for account in self._accounts.values():
            account.money.kept(there, asked)
            account.streams.kept(asked)

    async def _return(self) -> None:
        today = day_of(self._now())
        back: dict[UUID, int] = {}
        for account in self._accounts.values():
            for slice_ in account.money.closing(today):
                self._slices.pop(slice_.id, None)
                self._to_close.add(slice_.id)
            back.update(account.money.surplus(today))
        if back:
            await self._store.give_back(back)
        if self._to_close:
            closing = frozenset(self._to_close)
            await self._store.close(closing)
            self._to_close -= closing

    async def aclose(self) -> None:
        """Give back what is held, once; call it after ``run`` was cancelled and the last row was written."""
        back: dict[UUID, int] = {}
        for account in self._accounts.values():
            for slice_ in account.money.slices.values():
                if slice_.drained:
                    self._to_close.add(slice_.id)
                elif slice_.free > 0:
                    back[slice_.id] = slice_.free
        try:
            await self._store.give_back(back)
            await self._store.close(frozenset(self._to_close))
            for account in self._accounts.values():
                if account.streams.held:
                    await account.streams.give_back()
        except Exception as error:  # noqa: BLE001 -- whatever the store's own kind of failure is
            log.error("leased budgets could not be given back (%s)", type(error).__name__)  # noqa: TRY400
