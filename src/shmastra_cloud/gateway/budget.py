"""The arithmetic of budgets: whole numbers of 1e-8 USD ("units"), days and months in UTC; no I/O.

A *standing* is how an owner's budget of a day and of a month is: the limit, what was settled, what processes
hold of it. A process takes *leases* out of it into its *slice*, and calls reserve from the slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_UP, Decimal
from functools import lru_cache
from typing import Literal, NamedTuple
from uuid import UUID

UNITS = 100_000_000
SLICE = UNITS // 4
SLICE_SHARE = 100
ROOM_SHARE = 4
SECONDS_OF_A_DAY = 86_400
ORGANIZATION = UUID(int=0)
EVERYONE = UUID(int=2**128 - 1)
NO_LIMIT = -1
_DIGITS = Decimal("0.00000001")
_EPOCH = date(1970, 1, 1).toordinal()

Period = Literal["day", "month"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for one owner; None where nothing does. Money is in units, the rest in pieces."""

    usd_per_day: int | None = None
    usd_per_month: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    streams: int | None = None

    @property
    def money(self) -> bool:
        """Whether there is a budget."""
        return self.usd_per_day is not None or self.usd_per_month is not None

    @property
    def rated(self) -> bool:
        """Whether there is a limit other than a budget."""
        rates = (self.requests_per_minute, self.tokens_per_minute, self.streams)
        return any(one is not None for one in rates)

    def __bool__(self) -> bool:
        return self != _NONE

    def over(self, general: Limits) -> Limits:
        """Return these limits, with the general ones where there is none; -1 is one that limits nothing."""
        return Limits(
            usd_per_day=_either(self.usd_per_day, general.usd_per_day),
            usd_per_month=_either(self.usd_per_month, general.usd_per_month),
            requests_per_minute=_either(self.requests_per_minute, general.requests_per_minute),
            tokens_per_minute=_either(self.tokens_per_minute, general.tokens_per_minute),
            streams=_either(self.streams, general.streams),
        )


_NONE = Limits()


def _either(own: int | None, general: int | None) -> int | None:
    found = general if own is None else own
    return None if found == NO_LIMIT else found


class Purse(NamedTuple):
    """One period's budget: its limit, what was settled of it, what slices hold of it."""

    limit: int
    spent: int
    held: int

    @property
    def room(self) -> int:
        """What can be leased."""
        return max(0, self.limit - self.spent - self.held)


class Standing(NamedTuple):
    """An owner's budgets at one moment; ``others`` is what other living processes hold of the month."""

    day: Purse | None = None
    month: Purse | None = None
    others: int = 0

    @property
    def room(self) -> int | None:
        """What can be leased of both; None where there is no budget."""
        rooms = [purse.room for purse in (self.day, self.month) if purse is not None]
        return min(rooms, default=None)

    def eased(self, amount: int) -> Standing:
        """Return how it stands when so much less is held."""
        return self._replace(day=_eased(self.day, amount), month=_eased(self.month, amount))

    @property
    def tightest(self) -> tuple[Period, Purse] | None:
        """The budget of which the least is left."""
        if self.day is None:
            return None if self.month is None else ("month", self.month)
        if self.month is None or self.day.room < self.month.room:
            return "day", self.day
        return "month", self.month


def _eased(purse: Purse | None, amount: int) -> Purse | None:
    return None if purse is None else purse._replace(held=max(0, purse.held - amount))


class Ask(NamedTuple):
    """What a call wants reserved, in units, before it begins.

    ``start`` is reserved; where less remains, ``least`` will do. A call whose output is seen as it comes
    reserves ``step`` more each time it has used what it has. ``tokens`` is what its input counts for.
    """

    start: int
    least: int
    step: int = 0
    tokens: int = 0
    streams: bool = False


def grant(standing: Standing, need: int, least: int) -> int:
    """Return what a process is given that needs so much, or at least so much.

    With room it gets more, so that it need not ask again: 1 % of the smaller budget, at most 0.25 USD and a
    quarter of what is left.
    """
    room = standing.room
    if room is None:
        return need
    if room >= need:
        smaller = min(purse.limit for purse in (standing.day, standing.month) if purse is not None)
        return max(need, min(SLICE, smaller // SLICE_SHARE, room // ROOM_SHARE))
    return room if room >= least else 0


def units(usd: Decimal) -> int:
    """Return an amount of USD in units, rounded up."""
    return int((usd * UNITS).to_integral_value(ROUND_UP))


def usd(amount: int) -> Decimal:
    """Return units as USD with 8 decimal places."""
    return (Decimal(amount) / UNITS).quantize(_DIGITS)


def shown(amount: int) -> str:
    """Return units as a text for people: two decimal places or, below 1 USD, as many as it takes."""
    cent = UNITS // 100
    if amount >= UNITS or amount % cent == 0:
        return f"{amount / UNITS:.2f}"
    return f"{amount / UNITS:.4f}" if amount >= cent else f"{amount / UNITS:.8f}".rstrip("0")


def decimal(amount: int) -> bytes:
    """Return units as a header's decimal number of USD."""
    return b"%d.%08d" % divmod(amount, UNITS)


def day_of(now: float) -> int:
    """Return the day of a time (seconds since 1970), in days since 1970."""
    return int(now // SECONDS_OF_A_DAY)


def as_date(day: int) -> date:
    """Return a day as a date."""
    return date.fromordinal(_EPOCH + day)


@lru_cache(maxsize=16)
def reset_stamp(period: Period, day: int) -> bytes:
    """Return when the day, or the month that holds it, is over, as a header says it."""
    return stamp(resets_at(period, day)).encode()


def resets_at(period: Period, day: int) -> datetime:
    """Return when the day, or the month that holds it, is over."""
    on = as_date(day)
    first = on + timedelta(1) if period == "day" else (on.replace(day=1) + timedelta(32)).replace(day=1)
    return datetime(first.year, first.month, first.day, tzinfo=UTC)


def stamp(when: datetime) -> str:
    """Return a time as people and programs read it."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
