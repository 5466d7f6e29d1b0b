"""Budgets and limits of a WebSocket: one of the streams for its life, money for one response at a time."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from shmastra_cloud.gateway.asking import priced
from shmastra_cloud.gateway.budget import Ask, day_of
from shmastra_cloud.gateway.errors import GatewayError, LimitReached
from shmastra_cloud.gateway.permits import OpenGate

if TYPE_CHECKING:
    from uuid import UUID

    from shmastra_cloud.gateway.asking import Rates
    from shmastra_cloud.gateway.keys import KeyOwner
    from shmastra_cloud.gateway.limits import Account, Limiter
    from shmastra_cloud.gateway.permits import Permit
    from shmastra_cloud.gateway.prices import Prices
    from shmastra_cloud.gateway.reservation import Reservation
    from shmastra_cloud.gateway.usage import UsageRow

CONTEXT_TOKENS = 8000  # what a conversation likely holds, which each response is billed for again
STEP_TOKENS = 500
FIRST_TOKENS = 16
SPENT = "The budget is used up, so the connection was ended here."
_STREAM = Ask(0, 0, streams=True)


class LimitGate:
    """Gives permits that hold an owner to his limits and the organization's."""

    def __init__(self, limits: Limiter, prices: Prices) -> None:
        self._limits, self._prices, self._open = limits, prices, OpenGate()

    async def admit(self, owner: KeyOwner, provider: str, model: str) -> Permit:
        """Let an owner use a model.

        Raises:
            PriceUnknown: it has no price, and a budget applies to him.
            LimitReached: one of his limits is reached.
            LimitsUnavailable: whether it is cannot be learnt now.

        """
        accounts = self._limits.accounts(owner.user_id)
        if not accounts:
            return await self._open.admit(owner, provider, model)
        rates = None
        if any(account.limits.money for account in accounts):
            rates = priced(self._prices, provider, model, None, CONTEXT_TOKENS)
        place = await self._limits.reserve(accounts, _STREAM)
        permit = LimitPermit(self._limits, owner.user_id, rates, place)
        try:
            await permit.begin()
        except BaseException:
            permit.ended()
            raise
        return permit


class LimitPermit:
    """What one connection has reserved: its ``place`` among the streams, and money for the next response."""

    def __init__(self, limits: Limiter, user_id: UUID, rates: Rates | None, place: Reservation) -> None:
        self._limits, self._user_id, self._rates, self._place = limits, user_id, rates, place
        self._money: Reservation | None = None
        self._day = 0

    @property
    def leases(self) -> tuple[UUID, ...]:
        """The slices that the next row is paid from; none once another day has begun."""
        same = self._money is not None and self._day == day_of(time.time())
        return self._money.leases if self._money is not None and same else ()

    async def begin(self) -> None:
        """Reserve for the next response.

        Raises:
            LimitReached: there is too little left.
            LimitsUnavailable: what is left cannot be learnt now.

        """
        accounts: tuple[Account, ...] = self._limits.accounts(self._user_id)
        now = time.time()
        self._day = day_of(now)
        self._money = await self._limits.reserve(accounts, self._ask(), now)

    def _ask(self) -> Ask:
        if self._rates is None:
            return Ask(0, 0)
        base, rate = self._rates
        step = math.ceil(STEP_TOKENS * rate)
        return Ask(base + step, base + math.ceil(FIRST_TOKENS * rate), step)

    def spent(self, output_tokens: int) -> GatewayError | None:
        """Learn what is being produced; an error ends the connection with it."""
        if self._rates is None or self._money is None:
            return None
        if self._money.allows(self._rates.base + math.ceil(output_tokens * self._rates.output)):
            return None
        return LimitReached(SPENT, retry_after=1, code="budget_exceeded")

    async def settle(self, row: UsageRow) -> GatewayError | None:
        """Account for one response, and reserve for the next one."""
        if self._money is not None:
            paid = bool(row.leases) or not self._money.leases
            self._money.settle(row.units if paid else 0, row.input_tokens + row.output_tokens)
        try:
            await self.begin()
        except GatewayError as error:
            self._money = None
            return error
        return None

    def ended(self) -> None:
        """Give back what is reserved."""
        if self._money is not None:
            self._money.settle(0)
        self._place.settle(0)
