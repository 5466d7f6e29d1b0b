"""What counts once, and how often codes may be asked for and guessed at; all of it in the database."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from shmastra_cloud.identity.workos.trail import fingerprint

if TYPE_CHECKING:
    from shmastra_cloud.database import Pool

WINDOW_MINUTES = 10
CODES_BY_EMAIL = 5
CODES_BY_ADDRESS = 20
GUESSES = 5
GUESSES_BY_EMAIL = 10
KEPT_HOURS = 1


async def use(pool: Pool, name: str) -> bool:
    """Use something up; False if it was used already."""
    done = await pool.fetchval(
        "insert into workos_used (name) values ($1) on conflict do nothing returning true", fingerprint(name)
    )
    return bool(done)


async def was_used(pool: Pool, name: str) -> bool:
    """Tell whether something was used up."""
    return bool(
        await pool.fetchval("select exists (select from workos_used where name = $1)", fingerprint(name))
    )


async def begin_code(pool: Pool, email: str, address: str | None) -> str | None:
    """Note that somebody asks for a code, and return the attempt's name; None if it is once too often.

    Within ten minutes an email is sent ``CODES_BY_EMAIL`` codes and an address may ask for
    ``CODES_BY_ADDRESS``; racing requests can exceed either by as many as they are.
    """
    attempt = secrets.token_urlsafe(24)
    made = await pool.fetchval(
        "insert into workos_codes (attempt, email, address) select $1, $2, $3"
        " where (select count(*) from workos_codes where email = $2"
        " and made_at > now() - make_interval(mins => $4)) < $5"
        " and (select count(*) from workos_codes where address = $3"
        " and made_at > now() - make_interval(mins => $4)) < $6 returning true",
        fingerprint(attempt),
        fingerprint(email.lower()),
        fingerprint(address or ""),
        WINDOW_MINUTES,
        CODES_BY_EMAIL,
        CODES_BY_ADDRESS,
    )
    return attempt if made else None


async def guess(pool: Pool, attempt: str) -> int | None:
    """Take one of an attempt's guesses and return how many are left; None if there was none.

    An email has ``GUESSES_BY_EMAIL`` in ten minutes, over all attempts. The row is locked, so racing
    guesses at one attempt are counted one by one.
    """
    left = await pool.fetchval(
        "update workos_codes c set guesses = guesses + 1 where attempt = $1 and guesses < $2"
        " and made_at > now() - make_interval(mins => $3)"
        " and (select coalesce(sum(o.guesses), 0) from workos_codes o where o.email = c.email"
        " and o.made_at > now() - make_interval(mins => $3)) < $4 returning $2 - guesses",
        fingerprint(attempt),
        GUESSES,
        WINDOW_MINUTES,
        GUESSES_BY_EMAIL,
    )
    return None if left is None else int(left)


async def sweep(pool: Pool) -> None:
    """Forget what is too old to count."""
    await pool.execute(
        "delete from workos_used where used_at < now() - make_interval(hours => $1)", KEPT_HOURS
    )
    await pool.execute(
        "delete from workos_codes where made_at < now() - make_interval(hours => $1)", KEPT_HOURS
    )
