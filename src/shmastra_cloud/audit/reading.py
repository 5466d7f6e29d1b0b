"""Reading the log, newest first, a page at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datetime as dt

    from shmastra_cloud.database import Pool, Row

_READ = """
select a.id, a.created_at, a.action, coalesce(o.outcome, a.outcome) as outcome, a.actor_kind,
  a.actor_id, a.actor, a.token, a.origin, coalesce(a.target_id, o.target_id) as target_id,
  coalesce(a.target, o.target) as target,
  a.detail || coalesce(o.detail, '{}') as detail, o.created_at as ended_at
from audit_log a left join audit_log o on o.begun = a.id
where a.begun is null
  and ($1::timestamptz is null or a.created_at >= $1)
  and ($2::text is null or lower(a.actor) = lower($2) or a.actor_id = $2)
  and ($3::text is null or a.action = $3 or starts_with(a.action, $3 || '.'))
  and ($4::text is null or lower(coalesce(a.target, o.target)) = lower($4)
    or coalesce(a.target_id, o.target_id) = $4)
  and ($5::bigint is null or a.id < $5)
order by a.id desc limit $6
"""


@dataclass(frozen=True)
class Asked:
    """Which lines are meant: at most ``limit`` older than the line ``before``.

    ``who`` and ``target`` are a name or an id, in any case of letters; ``action`` may be a group's name.
    """

    limit: int
    before: int | None = None
    since: dt.datetime | None = None
    who: str | None = None
    action: str | None = None
    target: str | None = None


async def read(pool: Pool, asked: Asked) -> dict[str, Any]:
    """Return ``{"lines": [...], "next": id}``; ``next`` is to be asked for as ``before``, None at the end."""
    rows = await pool.fetch(
        _READ, asked.since, asked.who, asked.action, asked.target, asked.before, asked.limit + 1
    )
    lines = [_line(row) for row in rows[: asked.limit]]
    return {"lines": lines, "next": lines[-1]["id"] if len(rows) > asked.limit else None}


def _line(row: Row) -> dict[str, Any]:
    ended = row["ended_at"]
    return {
        **dict(row),
        "created_at": row["created_at"].isoformat(),
        "ended_at": None if ended is None else ended.isoformat(),
        "detail": json.loads(row["detail"]),
    }
