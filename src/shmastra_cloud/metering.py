"""The gateway's two needs of the database: whose a virtual key is, and where usage is written."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import asyncpg

from shmastra_cloud.gateway import KeyOwner, rule_of
from shmastra_cloud.leases import settle

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from shmastra_cloud.database import Pool
    from shmastra_cloud.gateway import UsageRow

log = logging.getLogger(__name__)

_OWNER = (
    "select id, (select patterns from model_rules where user_id = u.id) as own,"
    " (select patterns from model_rules where user_id is null) as everyone"
    " from users u where virtual_key_hash = $1 and disabled_at is null"
)
# One statement for a batch: the trigger that counts days then runs once, in the order of its keys.
_INSERT = (
    "insert into usage_events (id, user_id, provider, model, purpose, input_tokens, cached_tokens,"
    " reasoning_tokens, output_tokens, status, first_byte_ms, duration_ms, ended, estimated, created_at,"
    " cache_write_tokens, cost_usd)"
    " select c1, (select id from users where id = c2), c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14,"
    " c15, c16, c17 from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::int[],"
    " $7::int[], $8::int[], $9::int[], $10::int[], $11::int[], $12::int[], $13::text[], $14::bool[],"
    " $15::timestamptz[], $16::int[], $17::numeric[])"
    " as row (c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17)"
    " on conflict (id) do nothing returning id"
)
_UNSTORABLE = (asyncpg.DataError, UnicodeEncodeError, OverflowError)
_GROUPS = {
    "user": "coalesce(u.email, 'removed')",
    "model": "coalesce(e.model, e.provider)",
    "day": "to_char(e.created_at at time zone 'utc', 'YYYY-MM-DD')",
}


class KeysInDatabase:
    """Looks virtual keys up for the gateway's cache."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def lookup(self, key_hash: bytes) -> KeyOwner | None:
        """Return who a key belongs to and what he may call, unless he is disabled."""
        found = await self._pool.fetchrow(_OWNER, key_hash)
        return None if found is None else KeyOwner(found["id"], rule_of(found["own"], found["everyone"]))


async def write_usage(pool: Pool, rows: Sequence[UsageRow]) -> None:
    """Write a batch; a batch that was written already, with its answer lost, is not counted twice.

    A row that the database can't hold is logged and left out, so that it does not hold up all others.
    """
    if not rows:
        return
    columns = zip(*map(_values, rows), strict=True)
    try:
        async with pool.acquire() as connection, connection.transaction():
            added = {row["id"] for row in await connection.fetch(_INSERT, *columns)}
            await settle(connection, [row for row in rows if row.id in added])
    except _UNSTORABLE as error:
        if len(rows) == 1:
            log.error("a usage row cannot be stored (%s): %s", type(error).__name__, rows[0].id)  # noqa: TRY400
            return
        for row in rows:
            await write_usage(pool, [row])


def _values(row: UsageRow) -> tuple[object, ...]:
    return (
        row.id,
        row.user_id,
        row.provider,
        row.model,
        row.purpose,
        row.input_tokens,
        row.cached_tokens,
        row.reasoning_tokens,
        row.output_tokens,
        row.status,
        row.ttfb_ms,
        row.duration_ms,
        row.ended,
        row.estimated,
        row.at,
        row.cache_write_tokens,
        row.cost,
    )


async def usage_by(pool: Pool, group: str, since: dt.datetime | None = None) -> list[dict[str, Any]]:
    """Return requests, tokens and cost (USD) by ``user``, ``model`` or ``day`` (UTC), from ``since`` on.

    ``unpriced_requests`` are those that did something, but no price is known of: the cost leaves them out.

    Raises:
        KeyError: there is no such grouping.
    """
    column = _GROUPS[group]
    rows = await pool.fetch(
        f'select {column} as "{group}", count(*) as requests, coalesce(sum(input_tokens), 0) as input_tokens,'  # noqa: S608 -- one of three constants
        " coalesce(sum(output_tokens), 0) as output_tokens, coalesce(sum(cost_usd), 0) as cost_usd,"
        " count(*) filter (where cost_usd is null and (status < 400 or status = 499)) as unpriced_requests"
        " from usage_events e left join users u on u.id = e.user_id"
        " where $1::timestamptz is null or e.created_at >= $1 group by 1 order by 1",
        since,
    )
    return [{**dict(row), "cost_usd": float(row["cost_usd"])} for row in rows]
