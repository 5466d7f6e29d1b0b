"""Usage by day, as the database keeps it."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import datetime as dt
    from decimal import Decimal
    from uuid import UUID

    from shmastra_cloud.database import Pool

MAX_ROWS = 20_000
MAX_USERS = 500
_SUMS = (
    " sum(d.requests)::bigint as requests, sum(d.input_tokens)::bigint as input_tokens,"
    " sum(d.output_tokens)::bigint as output_tokens, sum(d.cost_usd) as cost_usd,"
    " sum(d.unpriced_requests)::bigint as unpriced_requests"
)
_MODEL = "case d.model when '' then d.provider else d.provider || '/' || d.model end"


@dataclass(frozen=True)
class Usage:
    """What was used; ``cost_usd`` leaves out the ``unpriced_requests``, whose model has no known price."""

    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    unpriced_requests: int

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    @property
    def tokens(self) -> int:
        """All tokens, in and out."""
        return self.input_tokens + self.output_tokens


class DayUsage(NamedTuple):
    """What one model (``provider/model``; the provider alone where a call failed) used on one day (UTC)."""

    day: dt.date
    model: str
    usage: Usage


class Days:
    """Reads usage by day, of one user or of all; at most ``MAX_ROWS`` rows, the latest ones."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of_user(self, user_id: UUID, since: dt.date) -> list[DayUsage]:
        """Return a user's usage by day and model, from ``since`` on."""
        rows = await self._pool.fetch(
            f"select d.day, {_MODEL},{_SUMS} from usage_days d where d.user_id = $1 and d.day >= $2"  # noqa: S608 -- constants
            " group by 1, 2 order by 1 desc, 2 limit $3",
            user_id,
            since,
            MAX_ROWS,
        )
        return [DayUsage(row[0], row[1], Usage(*row[2:])) for row in rows]

    async def of_all(self, since: dt.date) -> list[DayUsage]:
        """Return everyone's usage by day and model, from ``since`` on."""
        rows = await self._pool.fetch(
            f"select d.day, {_MODEL},{_SUMS} from usage_days d where d.day >= $1"  # noqa: S608 -- constants
            " group by 1, 2 order by 1 desc, 2 limit $2",
            since,
            MAX_ROWS,
        )
        return [DayUsage(row[0], row[1], Usage(*row[2:])) for row in rows]

    async def by_user(self, since: dt.date) -> list[tuple[str, Usage]]:
        """Return who used what from ``since`` on, the one who cost most first, ``MAX_USERS`` at most.

        Who was removed has no email any more; such users are one line.
        """
        rows = await self._pool.fetch(
            f"select coalesce(u.email, 'removed users'),{_SUMS}"  # noqa: S608 -- constants
            " from usage_days d left join users u on u.id = d.user_id where d.day >= $1"
            " group by 1 order by sum(d.cost_usd) desc, sum(d.input_tokens + d.output_tokens) desc, 1"
            " limit $2",
            since,
            MAX_USERS,
        )
        return [(row[0], Usage(*row[1:])) for row in rows]
