"""Log-ins of command lines: one code for the command line, which it polls with, and a short one for a person.

The shape is that of RFC 8628. The short code has eight letters of twenty, which spell no words and cannot be
mistaken for each other (its section 6.1); only admins who are signed in can try some.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shmastra_cloud.api_tokens.errors import (
    LoginDenied,
    LoginExpired,
    LoginPending,
    LoginSlow,
    TokenError,
    TooManyLogins,
)
from shmastra_cloud.api_tokens.tokens import Made, Tokens, hash_of
from shmastra_cloud.audit import Actor, AuditLog
from shmastra_cloud.database import transaction

if TYPE_CHECKING:
    import datetime as dt
    from uuid import UUID

    from shmastra_cloud.database import Pool, Row

LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
LIFE_SECONDS = 600
INTERVAL_SECONDS = 2
WAITING, WAITING_PER_ADDRESS = 200, 10
GONE = "This log-in is not known, was used, or nobody confirmed it in time. Run `shmastra login` again."


@dataclass(frozen=True)
class Login:
    """A log-in that was begun: what the command line keeps, and what it shows."""

    device_code: str
    user_code: str


@dataclass(frozen=True)
class Waiting:
    """A log-in as an admin sees it before he decides: what it calls itself, where from, for how long."""

    name: str
    address: str
    days: int
    created_at: dt.datetime


def spelled(text: str) -> str:
    """Return a code as it is kept, out of however a person has typed it."""
    return "".join(letter for letter in text.upper()[:64] if letter in LETTERS)


class Logins:
    """Begins log-ins, has admins decide about them, and gives the token out, once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(self, name: str, address: str, days: int) -> Login:
        """Begin a log-in of a command line.

        Raises:
            TooManyLogins: too many wait already, from this address or in all.
        """
        device, code = secrets.token_urlsafe(32), "".join(secrets.choice(LETTERS) for _ in range(8))
        await self._pool.execute("delete from device_logins where expires_at < now() - interval '1 hour'")
        made = await self._pool.fetchval(
            "insert into device_logins (device_hash, code_hash, name, address, days, expires_at)"
            " select $1, $2, $3, $4, $5, now() + make_interval(secs => $6)"
            " where (select count(*) from device_logins where expires_at > now()) < $7"
            " and (select count(*) from device_logins where expires_at > now() and address = $4) < $8"
            " returning true",
            hash_of(device),
            hash_of(code),
            name,
            address,
            days,
            float(LIFE_SECONDS),
            WAITING,
            WAITING_PER_ADDRESS,
        )
        if not made:
            raise TooManyLogins("Too many log-ins wait for an admin's word. Try again in ten minutes.")
        return Login(device, f"{code[:4]}-{code[4:]}")

    async def waiting(self, code: str) -> Waiting:
        """Return the log-in of a short code, about which nobody has decided yet.

        Raises:
            LoginExpired: there is none.
        """
        row = await self._pool.fetchrow(
            "select name, address, days, created_at from device_logins where code_hash = $1"
            " and expires_at > now() and user_id is null and not denied",
            hash_of(spelled(code)),
        )
        if row is None:
            raise LoginExpired("No command line waits under this code. Codes last ten minutes.")
        return Waiting(row["name"], row["address"], row["days"], row["created_at"])

    async def decide(self, code: str, admin: Actor, user_id: UUID, *, allow: bool) -> Waiting:
        """Let the command line of a short code act for an admin, or not.

        Raises:
            LoginExpired: nobody waits under it.
        """
        waiting = await self.waiting(code)
        async with AuditLog(self._pool).within(
            admin, "token.allow" if allow else "token.refuse", waiting.name, address=waiting.address
        ) as act:
            done = await act.pool.execute(
                "update device_logins set user_id = case when $2 then $3::uuid end, denied = not $2"
                " where code_hash = $1 and expires_at > now() and user_id is null and not denied",
                hash_of(spelled(code)),
                allow,
                user_id,
            )
            if done != "UPDATE 1":
                raise LoginExpired("Somebody else has decided about this code already.")
        return waiting

    async def poll(self, device_code: str, address: str) -> tuple[Made, str]:
        """Return the token of a log-in that an admin has allowed, once, and whose it is.

        Raises:
            LoginPending: nobody has decided yet.
            LoginSlow: it was asked about too soon.
            LoginExpired: it is over.
            LoginDenied: an admin has said no.
        """
        async with transaction(self._pool) as pool:
            row = await pool.fetchrow(
                "select l.*, l.expires_at <= now() as over, u.email, u.role, u.disabled_at,"
                " l.polled_at > now() - make_interval(secs => $2) as soon from device_logins l"
                " left join users u on u.id = l.user_id where device_hash = $1 for update of l",
                hash_of(device_code),
                INTERVAL_SECONDS / 2,
            )
            refusal = _refusal(row)
            if refusal is None and row is not None:
                return await _token_of(pool, row, address), row["email"]
            await pool.execute(
                "update device_logins set polled_at = now() where device_hash = $1", hash_of(device_code)
            )
        raise refusal or LoginExpired(GONE)


def _refusal(row: Row | None) -> TokenError | None:
    """Return why a log-in has no token yet, or never will."""
    if row is None or row["over"]:
        return LoginExpired(GONE)
    if row["denied"]:
        return LoginDenied("An admin has refused this log-in.")
    if row["soon"]:
        return LoginSlow("This was asked too soon after the last time.")
    if row["user_id"] is None:
        return LoginPending("No admin has confirmed this log-in yet.")
    if row["role"] != "admin" or row["disabled_at"] is not None:
        return LoginExpired("Who has confirmed this log-in is no admin any more.")
    return None


async def _token_of(pool: Pool, row: Row, address: str) -> Made:
    """Make the token of a log-in that is allowed, whose codes are used up with that."""
    await pool.execute("delete from device_logins where device_hash = $1", row["device_hash"])
    owner = Actor.of_user(row["user_id"], row["email"], address)
    async with AuditLog(pool).within(owner, "token.make", row["name"], days=row["days"]) as act:
        made = await Tokens(act.pool).make(row["user_id"], row["name"], row["days"])
        act.target_id = made.id
    return made
