"""Which models may be called, by everybody and by one user; a change notifies all processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from shmastra_cloud.gateway import checked_patterns, rule_of
from shmastra_cloud.identity import UnknownUser

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from shmastra_cloud.database import Pool


class ModelRules(TypedDict):
    """A rule: whose it is (None: for all), its own patterns, and what it comes to with the rule for all.

    An empty ``allowed`` means any model that is not ``excluded``.
    """

    email: str | None
    patterns: list[str]
    allowed: list[str]
    excluded: list[str]


async def rules_of(pool: Pool, email: str | None) -> ModelRules:
    """Return a user's rule, or for None the one for all.

    Raises:
        UnknownUser: there is no such user.
    """
    user_id = None if email is None else await _user(pool, email)
    everyone = await _patterns(pool, None)
    own = [] if user_id is None else await _patterns(pool, user_id)
    rule = rule_of(own, everyone)
    return ModelRules(
        email=None if email is None else email.strip().lower(),
        patterns=everyone if user_id is None else own,
        allowed=[] if rule is None else list(rule.allows),
        excluded=[] if rule is None else list(rule.denies),
    )


async def set_rules(pool: Pool, email: str | None, patterns: Sequence[str]) -> ModelRules:
    """Set a user's patterns, or for None those for all; none at all removes the rule.

    Raises:
        UnknownUser: there is no such user.
        BadPattern: a pattern can never mean what was meant.
    """
    user_id = None if email is None else await _user(pool, email)
    if patterns:
        await pool.execute(
            "insert into model_rules (user_id, patterns) values ($1, $2)"
            " on conflict (user_id) do update set patterns = excluded.patterns, updated_at = now()",
            user_id,
            checked_patterns(patterns),
        )
    else:
        await pool.execute("delete from model_rules where user_id is not distinct from $1", user_id)
    return await rules_of(pool, email)


async def _user(pool: Pool, email: str) -> UUID:
    found: UUID | None = await pool.fetchval("select id from users where email = $1", email.strip().lower())
    if found is None:
        raise UnknownUser(f"No user has the email {email}. `shmastra user list` shows all.")
    return found


async def _patterns(pool: Pool, user_id: UUID | None) -> list[str]:
    found = await pool.fetchval(
        "select patterns from model_rules where user_id is not distinct from $1", user_id
    )
    return list(found or [])
