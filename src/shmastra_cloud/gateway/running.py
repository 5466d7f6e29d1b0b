"""A call under limits while it runs: how far its money reaches, and how it is settled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from shmastra_cloud.gateway.budget import usd

if TYPE_CHECKING:
    from shmastra_cloud.gateway.asking import Estimate
    from shmastra_cloud.gateway.meter import Meter
    from shmastra_cloud.gateway.reservation import Reservation
    from shmastra_cloud.gateway.usage import UsageRow


class Running:
    """Joins a call's reservation with the meter that sees its answer."""

    __slots__ = ("_estimate", "_meter", "_tokens", "leases", "reservation")

    def __init__(self, reservation: Reservation, estimate: Estimate, meter: Meter) -> None:
        self.reservation = reservation
        self._estimate, self._meter = estimate, meter
        self.leases = reservation.leases
        self._tokens = math.inf
        if estimate.visible and self.leases:
            self._tokens = self._reach()
            meter.watch()

    @property
    def bounded(self) -> bool:
        """Whether the answer is to be ended when what it shows is not paid for."""
        return self._tokens < math.inf

    @property
    def fits(self) -> bool:
        """Whether what the answer has shown so far is paid for."""
        return self._meter.so_far() <= self._tokens

    async def extend(self) -> bool:
        """Reserve more, and tell whether what the answer has shown so far is paid for now."""
        fits = await self.reservation.extend(self._estimate.cost(self._meter.so_far()))
        self._tokens = self._reach()
        return fits

    def settle(self, row: UsageRow | None) -> UsageRow | None:
        """End the reservation by what a call used (None: nothing); return its row.

        What turns out to have no price costs what was reserved for it.
        """
        if row is not None and row.cost is None and self.leases:
            row = row._replace(cost=usd(self.reservation.amount), estimated=True)
        used = 0 if row is None else row.input_tokens + row.output_tokens
        self.reservation.settle(0 if row is None else row.units, used)
        return row

    def _reach(self) -> float:
        estimate = self._estimate
        if not estimate.rate:
            return math.inf
        return (self.reservation.amount - estimate.base) / estimate.rate
