"""One-time links: a random token in an address, kept as a hash, good once and for a day."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from typing import TYPE_CHECKING

from shmastra_cloud.identity.errors import LinkSpent

if TYPE_CHECKING:
    from uuid import UUID

    from shmastra_cloud.database import Pool

LINK_LIFE = dt.timedelta(hours=24)


def hash_token(token: str) -> bytes:
    """Return what a token is looked up by."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


async def make_link(pool: Pool, user_id: UUID, life: dt.timedelta = LINK_LIFE) -> tuple[str, dt.datetime]:
    """Make a link token for a user; returns it and when it expires (UTC)."""
    token = secrets.token_urlsafe(32)
    expires_at = dt.datetime.now(dt.UTC) + life
    await pool.execute(
        "insert into login_links (token_hash, user_id, expires_at) values ($1, $2, $3)",
        hash_token(token),
        user_id,
        expires_at,
    )
    return token, expires_at


async def link_is_good(pool: Pool, token: str, *, only_admins: bool = False) -> bool:
    """Tell whether a link could be used now (by an admin), without using it."""
    return bool(
        await pool.fetchval(
            "select exists (select from login_links l join users u on u.id = l.user_id where token_hash = $1"
            " and used_at is null and expires_at > now() and u.disabled_at is null"
            " and (u.role = 'admin' or not $2))",
            hash_token(token),
            only_admins,
        )
    )


async def spend_link(pool: Pool, token: str, *, only_admins: bool = False) -> UUID:
    """Use a link up and return whose it was; of two racing calls one wins.

    ``only_admins``: everybody else comes in through an identity provider.

    Raises:
        LinkSpent: it was used, has expired or never was, or its user is disabled or comes in another way.
    """
    user_id: UUID | None = await pool.fetchval(
        "with spent as (update login_links l set used_at = now() from users u where token_hash = $1"
        " and used_at is null and expires_at > now() and u.id = l.user_id and u.disabled_at is null"
        " and (u.role = 'admin' or not $2) returning user_id),"
        " seen as (update users set first_sign_in_at = coalesce(first_sign_in_at, now())"
        " where id in (select user_id from spent)) select user_id from spent",
        hash_token(token),
        only_admins,
    )
    if user_id is None:
        raise LinkSpent("This sign-in link was used already or has expired.")
    return user_id
