"""What a running call has reserved: it may go on as long as that lasts, and is settled exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmastra_cloud.gateway.budget import decimal, reset_stamp
from shmastra_cloud.gateway.errors import LimitsUnavailable

if TYPE_CHECKING:
    from uuid import UUID

    from shmastra_cloud.gateway.credentials import Headers
    from shmastra_cloud.gateway.rates import Slots, Window
    from shmastra_cloud.gateway.slices import Money, Slice

REMAINING = b"x-shmastra-budget-remaining-usd"
RESET = b"x-shmastra-budget-reset"


class Reservation:
    """Units of money (``amount``), a stream's place, and tokens, of every owner that a limit holds for."""

    __slots__ = ("_holds", "_settled", "_step", "_streams", "_tokens", "_windows", "amount")

    def __init__(self, amount: int, step: int, tokens: int) -> None:
        self.amount = amount
        self._step, self._tokens = step, tokens
        self._holds: list[tuple[Money, Slice]] = []
        self._streams: list[Slots] = []
        self._windows: list[Window] = []
        self._settled = False

    @property
    def leases(self) -> tuple[UUID, ...]:
        """The slices out of which the call is paid: they belong into its usage row."""
        return tuple([slice_.id for _, slice_ in self._holds]) if self._holds else ()

    def took(self, money: Money, slice_: Slice, amount: int) -> None:
        """Note that units were taken; all owners reserve the same, so the rest goes back to the others."""
        for other, held in self._holds:
            other.put_back(held, self.amount - amount)
        self.amount = amount
        self._holds.append((money, slice_))

    def opened(self, slots: Slots) -> None:
        """Note that a stream was opened."""
        self._streams.append(slots)

    def counted(self, window: Window) -> None:
        """Note that tokens were taken."""
        self._windows.append(window)

    def allows(self, so_far: int) -> bool:
        """Tell whether a call may go on that has cost so much, taking more out of what is free.

        Quick enough to be asked for every piece of an answer. After a no, :meth:`extend` may yet find more.
        """
        return so_far <= self.amount or not self._holds or self._top_up(so_far)

    async def extend(self, so_far: int) -> bool:
        """Tell whether a call may go on that has cost so much, leasing more; the call waits meanwhile.

        What cannot be leased because the database is away ends the call, as if nothing were left.
        """
        if self.allows(so_far):
            return True
        lacks = so_far - self.amount
        got: list[tuple[Money, Slice, int]] = []
        try:
            for money, held in self._holds:
                got.append((money, held, await money.more(held, lacks, self._step)))
        except LimitsUnavailable:
            got.append((*self._holds[len(got)], 0))
        taken = min(amount for *_, amount in got)
        for money, held, amount in got:
            money.put_back(held, amount - taken)
        self.amount += taken
        return so_far <= self.amount

    def settle(self, cost: int, tokens: int = 0) -> None:
        """End the reservation, once: the call has cost so many units and used so many tokens."""
        if self._settled:
            return
        self._settled = True
        for money, held in self._holds:
            money.settle(held, self.amount, cost)
        for slots in self._streams:
            slots.release()
        if tokens > self._tokens:
            for window in self._windows:
                window.use(tokens - self._tokens)

    def headers(self) -> Headers:
        """Return the headers that say what is left unreserved of the tightest budget, and when it resets."""
        tightest = None
        for money, held in self._holds:
            found = money.remaining(held)
            if found is not None and (tightest is None or found[1] < tightest[1]):
                tightest = (found[0], found[1], held.day)
        if tightest is None:
            return []
        period, left, day = tightest
        return [
            (REMAINING, decimal(left)),
            (RESET, reset_stamp(period, day)),
        ]

    def _top_up(self, so_far: int) -> bool:
        lacks, step = so_far - self.amount, self._step
        got = [money.ahead(held, lacks, step) for money, held in self._holds]
        taken = min(got)
        for (money, held), amount in zip(self._holds, got, strict=True):
            if amount > taken:
                money.put_back(held, amount - taken)
        self.amount += taken
        return so_far <= self.amount
