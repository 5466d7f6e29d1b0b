"""What the gateway's ledger needs of the database: limits as they are set, and leases of what they allow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

from shmastra_cloud.gateway import (
    LEASE_SECONDS,
    NO_LIMIT,
    ORGANIZATION,
    Limits,
    MoneyLease,
    Purse,
    RateLease,
    Standing,
    StreamLease,
    units,
    usd,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import date
    from decimal import Decimal
    from uuid import UUID

    import asyncpg

    from shmastra_cloud.database import Pool, Row
    from shmastra_cloud.gateway import UsageRow

    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

_SECONDS = int(LEASE_SECONDS)
_LIMITS = (
    "select owner, usd_per_day, usd_per_month, requests_per_minute, tokens_per_minute, streams"
    " from budget_limits"
)
# Who lowers several slices locks them in one order.
_LOWER = (
    "update budget_slices s set held_usd = greatest(0, s.held_usd - given.amount)"
    " from unnest($1::uuid[], $2::numeric[]) given (id, amount)"
    " where s.id = given.id and s.id in"
    " (select id from budget_slices where id = any($1) order by id for update)"
)
_RAISE = (
    "insert into budget_accounts as a (owner, period, starts, spent_usd)"
    " select c.owner, p.period, p.starts, sum(c.cost) from unnest($1::uuid[], $2::date[], $3::numeric[])"
    " c (owner, day, cost) cross join lateral"
    " (values ('day', c.day), ('month', date_trunc('month', c.day)::date)) p (period, starts)"
    " group by 1, 2, 3 order by 1, 2, 3"
    " on conflict (owner, period, starts) do update set spent_usd = a.spent_usd + excluded.spent_usd"
)


class LeasesInDatabase:
    """Leases for a process of the gateway, under an id of its own."""

    def __init__(self, pool: Pool) -> None:
        self._pool, self._holder = pool, uuid4()

    async def limits(self) -> Mapping[UUID, Limits]:
        """Return all limits as they were set, by their owner."""
        return {row["owner"]: limits_of(row) for row in await self._pool.fetch(_LIMITS)}

    async def lease(self, slice_id: UUID, owner: UUID, day: date, need: int, least: int) -> MoneyLease:
        """Add to a slice what it needs, at least ``least``, and put off its expiry."""
        row = await self._pool.fetchrow(
            "select * from lease_budget($1, $2, $3, $4, $5, $6, $7)",
            slice_id,
            owner,
            self._holder,
            day,
            usd(need),
            usd(least),
            _SECONDS,
        )
        assert row is not None  # noqa: S101 -- a function that returns one row always
        standing = Standing(
            day=_purse(row["day_limit"], row["day_spent"], row["day_held"]),
            month=_purse(row["month_limit"], row["month_spent"], row["month_held"]),
            others=units(row["others"]),
        )
        return MoneyLease(units(row["granted"]), row["there"], standing)

    async def rate(self, owner: UUID, kind: str, need: int, owed: int) -> RateLease:
        """Take pieces of the running minute."""
        row = await self._pool.fetchrow("select * from lease_rate($1, $2, $3, $4)", owner, kind, need, owed)
        assert row is not None  # noqa: S101 -- the same
        return RateLease(row["granted"], row["most"], row["seconds"])

    async def streams(self, owner: UUID, wanted: int) -> StreamLease:
        """Hold as many streams as wanted, or as other processes leave."""
        row = await self._pool.fetchrow(
            "select * from lease_streams($1, $2, $3, $4)", owner, self._holder, wanted, _SECONDS
        )
        assert row is not None  # noqa: S101 -- the same
        return StreamLease(row["granted"], row["most"])

    async def keep(self) -> Collection[UUID]:
        """Put the expiry of all that this process holds off, and return its slices."""
        until = "clock_timestamp() + make_interval(secs => $2)"
        kept, _ = await asyncio.gather(
            self._pool.fetch(
                f"update budget_slices set expires_at = {until} where holder = $1 returning id",  # noqa: S608 -- a constant
                self._holder,
                _SECONDS,
            ),
            self._pool.execute(
                f"update stream_slots set expires_at = {until} where holder = $1",  # noqa: S608 -- the same
                self._holder,
                _SECONDS,
            ),
        )
        return {row["id"] for row in kept}

    async def give_back(self, amounts: Mapping[UUID, int]) -> None:
        """Return units of slices to their budgets."""
        if amounts:
            await self._pool.execute(_LOWER, list(amounts), [usd(amount) for amount in amounts.values()])

    async def close(self, slices: Collection[UUID]) -> None:
        """Return all that is in these slices."""
        if slices:
            await self._pool.execute("delete from budget_slices where id = any($1)", list(slices))


async def settle(connection: Connection, rows: Sequence[UsageRow]) -> None:
    """Raise what was spent by rows inserted in this transaction, and lower the slices they are paid from.

    Budgets are locked before slices, in one order, as `lease_budget` does.
    """
    spent: dict[tuple[UUID, date], int] = {}
    paid: dict[UUID, int] = {}
    for row in rows:
        cost = row.units
        if cost:
            day = row.at.date()
            for owner in (row.user_id, ORGANIZATION):
                key = owner, day
                spent[key] = spent.get(key, 0) + cost
            for lease in row.leases:
                paid[lease] = paid.get(lease, 0) + cost
    if spent:
        owners, days = zip(*spent, strict=True)
        await connection.execute(_RAISE, owners, days, [usd(cost) for cost in spent.values()])
    if paid:
        await connection.execute(_LOWER, list(paid), [usd(cost) for cost in paid.values()])


def limits_of(row: Row) -> Limits:
    """Return the limits that a row of ``budget_limits`` sets."""
    return Limits(
        usd_per_day=_money(row["usd_per_day"]),
        usd_per_month=_money(row["usd_per_month"]),
        requests_per_minute=row["requests_per_minute"],
        tokens_per_minute=row["tokens_per_minute"],
        streams=row["streams"],
    )


def _money(amount: Decimal | None) -> int | None:
    return None if amount is None else NO_LIMIT if amount < 0 else units(amount)


def _purse(limit: Decimal | None, spent: Decimal, held: Decimal) -> Purse | None:
    return None if limit is None else Purse(units(limit), units(spent), units(held))
