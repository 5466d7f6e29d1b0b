"""Limits and what is used of them, in the database."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from shmastra_cloud.budgets.changes import NAMES, told
from shmastra_cloud.budgets.errors import UnknownOwner
from shmastra_cloud.gateway import EVERYONE, ORGANIZATION, day_of, resets_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal
    from uuid import UUID

    from shmastra_cloud.budgets.changes import Change
    from shmastra_cloud.database import Pool, Row

WORDS = {"organization": ORGANIZATION, "default": EVERYONE}
MAX_USERS = 10_000
_PERIODS = (("usd_per_day", "day"), ("usd_per_month", "month"))

# What a slice past its expiry holds was lost with its process, and counts as spent.
_STANDING = """
select o.owner, l.*, d.spent_usd as day_spent, m.spent_usd as month_spent, s.*,
  r.taken as requests, k.taken as tokens,
  (select sum(t.held) from stream_slots t where t.owner = o.owner and t.expires_at > now()) as streams_open
from unnest($1::uuid[]) o (owner)
cross join lateral limits_of(o.owner) l
left join budget_accounts d on d.owner = o.owner and d.period = 'day' and d.starts = $3
left join budget_accounts m on m.owner = o.owner and m.period = 'month' and m.starts = $4
left join rate_windows r on r.owner = o.owner and r.kind = 'requests' and r.minute = $2
left join rate_windows k on k.owner = o.owner and k.kind = 'tokens' and k.minute = $2
cross join lateral (select
  coalesce(sum(held_usd) filter (where day = $3 and expires_at > now()), 0) as day_reserved,
  coalesce(sum(held_usd) filter (where day = $3 and expires_at <= now()), 0) as day_lost,
  coalesce(sum(held_usd) filter (where expires_at > now()), 0) as month_reserved,
  coalesce(sum(held_usd) filter (where expires_at <= now()), 0) as month_lost
  from budget_slices where budget_slices.owner = o.owner and day between $4 and $3) s
"""


class Budgets:
    """Tells and changes the limits of users, the organization and everyone."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def owner(self, who: str) -> UUID:
        """Return who is meant by an email, ``organization`` or ``default``.

        Raises:
            UnknownOwner: nobody.
        """
        name = who.strip().lower()
        if name in WORDS:
            return WORDS[name]
        found: UUID | None = await self._pool.fetchval("select id from users where email = $1", name)
        if found is None:
            raise UnknownOwner(f"No user has the email {who}. `shmastra user list` shows all.")
        return found

    async def change(self, who: str, change: Change) -> dict[str, Any]:
        """Set limits and return how they are now; every process hears of it within a second.

        Raises:
            UnknownOwner: there is nobody of that name.
        """
        owner, values = await self.owner(who), change.values()
        if values:
            names = list(values)
            places = ", ".join(f"${number}" for number in range(3, 3 + len(names)))
            updates = ", ".join(f"{name} = excluded.{name}" for name in names)
            await self._pool.execute(
                f"insert into budget_limits (owner, user_id, {', '.join(names)}) values ($1, $2, {places})"  # noqa: S608 -- names of ours
                f" on conflict (owner) do update set {updates}, changed_at = now()",
                owner,
                None if owner in WORDS.values() else owner,
                *values.values(),
            )
        return await self.show(who)

    async def show(self, who: str) -> dict[str, Any]:
        """Return what was set for somebody, and how what applies to him stands.

        Raises:
            UnknownOwner: there is nobody of that name.
        """
        owner = await self.owner(who)
        [one] = await self._show([(who.strip().lower(), owner)])
        return one

    async def all(self) -> list[dict[str, Any]]:
        """Return the same of the organization, of everyone, and of each user by email."""
        rows = await self._pool.fetch("select email, id from users order by email limit $1", MAX_USERS)
        return await self._show([*WORDS.items(), *((row["email"], row["id"]) for row in rows)])

    async def applying(self, user_id: UUID) -> dict[str, Any]:
        """Return how the limits that apply to a user stand, with the organization's under that name."""
        standing = await self._standing([user_id, ORGANIZATION])
        return {**standing[user_id], "organization": standing[ORGANIZATION]}

    async def _show(self, owners: Sequence[tuple[str, UUID]]) -> list[dict[str, Any]]:
        ids = [owner for _, owner in owners]
        rows = await self._pool.fetch("select * from budget_limits where owner = any($1)", ids)
        own = {row["owner"]: row for row in rows}
        standing = await self._standing([owner for owner in ids if owner != EVERYONE])
        return [
            {
                "who": who,
                "limits": {name: told(name, own[owner][name] if owner in own else None) for name in NAMES},
                "budget": standing.get(owner, {}),
            }
            for who, owner in owners
        ]

    async def _standing(self, owners: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
        now = dt.datetime.now(dt.UTC)
        today = now.date()
        minute = now.replace(second=0, microsecond=0)
        rows = await self._pool.fetch(_STANDING, owners, minute, today, today.replace(day=1))
        return {row["owner"]: _budget(row, now) for row in rows}


def _budget(row: Row, now: dt.datetime) -> dict[str, Any]:
    """Return each limit that holds: how much it is, what is used of it, and when it begins anew."""
    found: dict[str, Any] = {}
    for name, period in _PERIODS:
        if row[name] is not None:
            reset = resets_at("day" if period == "day" else "month", day_of(now.timestamp()))
            spent = (row[f"{period}_spent"] or 0) + row[f"{period}_lost"]
            found[name] = _money(row[name], spent, row[f"{period}_reserved"], reset)
    minute = now.replace(second=0, microsecond=0) + dt.timedelta(minutes=1)
    for name, used in (("requests_per_minute", "requests"), ("tokens_per_minute", "tokens")):
        if row[name] is not None:
            found[name] = {**_count(row[name], row[used]), "resets_at": minute.isoformat()}
    if row["streams"] is not None:
        found["streams"] = _count(row["streams"], row["streams_open"])
    return found


def _money(limit: Decimal, spent: Decimal, reserved: Decimal, reset: dt.datetime) -> dict[str, Any]:
    return {
        "limit": float(limit),
        "spent": float(spent),
        "reserved": float(reserved),
        "remaining": max(0.0, float(limit - spent - reserved)),
        "resets_at": reset.isoformat(),
    }


def _count(limit: int, used: int | None) -> dict[str, Any]:
    return {"limit": limit, "used": used or 0, "remaining": max(0, limit - (used or 0))}
