"""Sessions: a random token in a cookie, a row on the server, and a short-lived cache between them."""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from shmastra_cloud.identity.links import hash_token

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from shmastra_cloud.database import Pool

SESSION_LIFE = dt.timedelta(days=30)
CACHE_SECONDS = 5
CACHE_SIZE = 10_000
AGENT_CHARACTERS = 200


@dataclass(frozen=True)
class User:
    """Somebody signed in."""

    id: UUID
    email: str
    role: str


def cookie_name(*, https: bool) -> str:
    """Return the session cookie's name; ``__Host-`` binds it to one host under TLS."""
    return "__Host-shmastra_session" if https else "shmastra_session"


@dataclass(frozen=True)
class Provided:
    """The identity provider's own session behind one of ours.

    ``secret`` is what it can be asked with again (sealed already), ``check_seconds`` after how long it
    must be.
    """

    source: Literal["workos", "oidc"]
    session: str | None = None
    secret: bytes | None = None
    check_seconds: float | None = None


@dataclass(frozen=True)
class Device:
    """Where a session is used, for the person who looks through his sessions; untrusted text, cut to size."""

    address: str | None = None
    agent: str | None = None


class Sessions:
    """Makes, finds and ends sessions.

    ``listening`` says whether ends of sessions are heard of (:meth:`ended`); while not, each is looked up.
    """

    def __init__(self, pool: Pool, listening: Callable[[], bool] = lambda: True) -> None:
        self._pool, self._listening = pool, listening
        self._generation = 0
        self._cache: OrderedDict[bytes, tuple[float, User]] = OrderedDict()

    async def start(
        self,
        user_id: UUID,
        *,
        provided: Provided | None = None,
        device: Device | None = None,
        pool: Pool | None = None,
    ) -> str:
        """Open a session (in the transaction ``pool``) and return the token for its cookie."""
        token = secrets.token_urlsafe(32)
        now, device = dt.datetime.now(dt.UTC), device or Device()
        check = provided.check_seconds if provided else None
        await (pool or self._pool).execute(
            "insert into sessions (token_hash, user_id, expires_at, source, provider_session,"
            " provider_secret, check_after, address, agent) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            hash_token(token),
            user_id,
            now + SESSION_LIFE,
            provided.source if provided else "local",
            provided.session if provided else None,
            provided.secret if provided else None,
            None if check is None else now + dt.timedelta(seconds=check),
            device.address,
            (device.agent or "")[:AGENT_CHARACTERS] or None,
        )
        return token

    async def user(self, token: str | None) -> User | None:
        """Return who a cookie's token belongs to, or None."""
        if not token or len(token) > 128:
            return None
        digest = hash_token(token)
        cached = self._cache.get(digest)
        if cached is not None and cached[0] > time.monotonic() and self._listening():
            return cached[1]
        generation = self._generation
        row = await self._pool.fetchrow(
            "select u.id, u.email, u.role from sessions s join users u on u.id = s.user_id"
            " where s.token_hash = $1 and s.expires_at > now() and u.disabled_at is null",
            digest,
        )
        if row is None:
            self._cache.pop(digest, None)
            return None
        user = User(row["id"], row["email"], row["role"])
        if generation == self._generation:  # else it may have ended while it was looked up
            self._cache[digest] = (time.monotonic() + CACHE_SECONDS, user)
        while len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        return user

    async def end(self, token: str) -> Provided | None:
        """End the session with that token, and return the identity provider's own session behind it."""
        row = await self._pool.fetchrow(
            "delete from sessions where token_hash = $1 returning source, provider_session", hash_token(token)
        )
        self._cache.pop(hash_token(token), None)
        if row is None or row["source"] == "local":
            return None
        return Provided(row["source"], row["provider_session"])

    def ended(self, payload: str) -> None:
        """Take a notification that a session has ended, wherever; the payload is its token's hash in hex."""
        self._generation += 1
        self._cache.pop(bytes.fromhex(payload), None)

    def user_changed(self, _payload: str) -> None:
        """Take a notification that a user has changed."""
        self.forget()

    def forget(self) -> None:
        """Drop the cache, after a change of users."""
        self._generation += 1
        self._cache.clear()
