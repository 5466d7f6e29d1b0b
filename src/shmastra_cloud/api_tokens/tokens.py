"""Tokens: random, kept as a hash, each an admin's, with a name and an end."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shmastra_cloud.api_tokens.errors import UnknownToken

if TYPE_CHECKING:
    from uuid import UUID

    from shmastra_cloud.database import Pool, Row

PREFIX = "sct_"  # so that a scanner for secrets, or a person, sees what it is
PER_USER = 50
TOKEN_CHARACTERS = 100
USED_SECONDS = 60.0  # to which the last use is known

_FIND = """
with found as (
  select t.id, t.name, t.last_used_at, u.id as user_id, u.email, u.role
  from api_tokens t join users u on u.id = t.user_id
  where t.token_hash = $1 and t.expires_at > now() and u.disabled_at is null
), used as (
  update api_tokens set last_used_at = now(), last_used_from = $2 where id in (select id from found
    where last_used_at is null or last_used_at < now() - make_interval(secs => $3))
)
select id, name, user_id, email, role from found
"""


@dataclass(frozen=True)
class Holder:
    """Who asks with a token, and with which."""

    user_id: UUID
    email: str
    role: str
    token_id: UUID
    token_name: str


@dataclass(frozen=True)
class Made:
    """A token that was just made; ``token`` is never told again."""

    id: UUID
    token: str
    name: str
    expires_at: dt.datetime


def hash_of(secret: str) -> bytes:
    """Return what a secret is looked up by."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()


class Tokens:
    """Makes, finds, lists and revokes tokens. Each use is looked up, so that none outlives its end."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def on(self, pool: Pool) -> Tokens:
        """Return the same, in a transaction (:func:`~shmastra_cloud.database.transaction`)."""
        return Tokens(pool)

    async def make(self, user_id: UUID, name: str, days: int) -> Made:
        """Make a token for a user; where he has fifty, the one that was used least lately goes."""
        token = PREFIX + secrets.token_urlsafe(32)
        expires_at = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        made = await self._pool.fetchval(
            "insert into api_tokens (token_hash, user_id, name, expires_at)"
            " values ($1, $2, $3, $4) returning id",
            hash_of(token),
            user_id,
            name,
            expires_at,
        )
        await self._pool.execute(
            "delete from api_tokens where id in (select id from api_tokens where user_id = $1"
            " order by coalesce(last_used_at, created_at) desc, id offset $2)",
            user_id,
            PER_USER,
        )
        return Made(made, token, name, expires_at)

    async def find(self, token: str, address: str) -> Holder | None:
        """Return whose token it is, unless it has ended or he is shut out; it is used at ``address``."""
        if not token.startswith(PREFIX) or len(token) > TOKEN_CHARACTERS:
            return None
        row = await self._pool.fetchrow(_FIND, hash_of(token), address, USED_SECONDS)
        if row is None:
            return None
        return Holder(row["user_id"], row["email"], row["role"], row["id"], row["name"])

    async def all(self, user_id: UUID | None = None) -> list[Row]:
        """Return every token (or a user's) that has not ended, the newest first, without what it is."""
        return await self._pool.fetch(
            "select t.id, u.email, t.name, t.created_at, t.expires_at, t.last_used_at, t.last_used_from"
            " from api_tokens t join users u on u.id = t.user_id"
            " where t.expires_at > now() and ($1::uuid is null or t.user_id = $1)"
            " order by t.created_at desc, t.id",
            user_id,
        )

    async def revoke(self, token_id: UUID, of: UUID | None = None) -> tuple[str, str]:
        """End a token (of this user only) on every process, and return whose it was and its name.

        Raises:
            UnknownToken: there is none.
        """
        row = await self._pool.fetchrow(
            "delete from api_tokens t using users u where t.id = $1 and u.id = t.user_id"
            " and ($2::uuid is null or t.user_id = $2) returning u.email, t.name",
            token_id,
            of,
        )
        if row is None:
            raise UnknownToken("There is no such token (any more). `shmastra token list` shows all.")
        return row["email"], row["name"]
