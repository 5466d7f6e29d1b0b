"""Sessions: a random token in a cookie, a row on the server, and a short-lived cache between them."""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from httprelay import OpenStreams
from shmastra_cloud.identity.links import hash_token

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from shmastra_cloud.database import Pool, Row

SESSION_LIFE = dt.timedelta(days=30)
SESSION_IDLE = dt.timedelta(days=7)
PER_USER = 100
TOUCH_SECONDS = 300
SWEEP_ROWS = 500
CACHE_SECONDS = 5
LOOKS = 5
CACHE_SIZE = 10_000
AGENT_CHARACTERS = 200


@dataclass(frozen=True)
class User:
    """Somebody signed in."""

    id: UUID
    email: str
    role: str


def plain(text: str) -> str:
    """Return text without control characters, which could act on whatever shows it."""
    return "".join(character for character in text if character.isprintable())


def cookie_name(*, https: bool) -> str:
    """Return the session cookie's name; ``__Host-`` binds it to one host under TLS."""
    return "__Host-shmastra_session" if https else "shmastra_session"


@dataclass(frozen=True)
class Provided:
    """The identity provider's own session behind one of ours.

    ``secret`` is what it can be asked with again (sealed already), ``check_seconds`` after how long it
    must be; ``life_seconds`` for how long our session lives unless the provider's is seen to go on.
    """

    source: Literal["workos", "oidc"]
    session: str | None = None
    secret: bytes | None = None
    check_seconds: float | None = None
    life_seconds: float | None = None


def life_of(provided: Provided | None, longest: dt.timedelta) -> dt.timedelta:
    """Return how long a session may last, from its start."""
    if provided is None or provided.life_seconds is None:
        return longest
    return min(longest, dt.timedelta(seconds=provided.life_seconds))


@dataclass(frozen=True)
class Device:
    """Where a session is used, for the person who looks through his sessions; untrusted text, cut to size."""

    address: str | None = None
    agent: str | None = None


class Sessions:
    """Makes, finds and ends sessions.

    ``listening`` says whether ends of sessions are heard of (:meth:`ended`); while not, each is looked up.
    A session ends after ``life``, and after ``idle`` without a request; when it was last used is known to
    five minutes. A user has a hundred at most: another one ends the one that was used least lately.
    ``streams`` holds what is open by its user's id and the hash of its session's token.
    """

    def __init__(
        self,
        pool: Pool,
        listening: Callable[[], bool] = lambda: True,
        *,
        life: dt.timedelta = SESSION_LIFE,
        idle: dt.timedelta = SESSION_IDLE,
    ) -> None:
        self._pool, self._listening = pool, listening
        self.life, self._idle = life, idle
        self._generation = 0
        self._cache: OrderedDict[bytes, tuple[float, User]] = OrderedDict()
        self.streams = OpenStreams(self.good)

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
            now + life_of(provided, self.life),
            provided.source if provided else "local",
            provided.session if provided else None,
            provided.secret if provided else None,
            None if check is None else now + dt.timedelta(seconds=check),
            device.address,
            plain(device.agent or "")[:AGENT_CHARACTERS] or None,
        )
        await (pool or self._pool).execute(
            "delete from sessions where token_hash in (select token_hash from sessions where user_id = $1"
            " order by last_used_at desc, created_at desc offset $2)",
            user_id,
            PER_USER,
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
        user: User | None = None
        for _ in range(LOOKS):
            generation = self._generation
            user = await self._look_up(digest)
            if generation == self._generation:  # else it may have ended while it was looked up
                break
        else:
            return user
        if user is None:
            self._cache.pop(digest, None)
            return None
        self._cache[digest] = (time.monotonic() + CACHE_SECONDS, user)
        while len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        return user

    async def _look_up(self, digest: bytes) -> User | None:
        row = await self._pool.fetchrow(
            "select u.id, u.email, u.role, s.last_used_at < now() - make_interval(secs => $3) as stale"
            " from sessions s join users u on u.id = s.user_id where s.token_hash = $1"
            " and s.expires_at > now() and s.last_used_at > now() - $2::interval and u.disabled_at is null",
            digest,
            self._idle,
            min(TOUCH_SECONDS, self._idle.total_seconds() / 10),
        )
        if row is None:
            return None
        if row["stale"]:
            await self._pool.execute("update sessions set last_used_at = now() where token_hash = $1", digest)
        return User(row["id"], row["email"], row["role"])

    async def good(self, digests: Collection[bytes]) -> list[bytes]:
        """Return which of some sessions, by their tokens' hashes, let somebody in."""
        rows = await self._pool.fetch(
            "select token_hash from sessions s join users u on u.id = s.user_id where token_hash = any($1)"
            " and s.expires_at > now() and s.last_used_at > now() - $2::interval and u.disabled_at is null",
            list(digests),
            self._idle,
        )
        return [bytes(row["token_hash"]) for row in rows]

    async def of(self, user_id: UUID) -> list[Row]:
        """Return a user's sessions, the one used last first, each with an id that is no secret."""
        return await self._pool.fetch(
            "select id, token_hash, created_at, last_used_at, source, address, agent from sessions"
            " where user_id = $1 and expires_at > now() and last_used_at > now() - $2::interval"
            " order by last_used_at desc, created_at desc",
            user_id,
            self._idle,
        )

    async def end_one(self, user_id: UUID, session_id: UUID) -> None:
        """End one of a user's sessions by its id; one of somebody else's is left alone."""
        await self._pool.execute("delete from sessions where user_id = $1 and id = $2", user_id, session_id)

    async def end_all(self, user_id: UUID) -> None:
        """End all sessions of a user."""
        await self._pool.execute("delete from sessions where user_id = $1", user_id)

    async def sweep(self) -> int:
        """Delete sessions that have expired, some hundreds at once, and return how many."""
        rows = await self._pool.fetch(
            "delete from sessions where token_hash in (select token_hash from sessions"
            " where expires_at <= now() or last_used_at <= now() - $1::interval"
            " order by expires_at limit $2 for update skip locked) returning token_hash",
            self._idle,
            SWEEP_ROWS,
        )
        return len(rows)

    async def end(self, token: str) -> Provided | None:
        """End the session with that token, and return the identity provider's own session behind it."""
        row = await self._pool.fetchrow(
            "delete from sessions where token_hash = $1 returning source, provider_session, provider_secret",
            hash_token(token),
        )
        self._cache.pop(hash_token(token), None)
        if row is None or row["source"] == "local":
            return None
        return Provided(row["source"], row["provider_session"], row["provider_secret"])

    def ended(self, payload: str) -> None:
        """Take a notification that a session has ended, wherever; the payload is its token's hash in hex."""
        digest = bytes.fromhex(payload)
        self._generation += 1
        self._cache.pop(digest, None)
        self.streams.ended(digest)

    def user_changed(self, payload: str) -> None:
        """Take a notification that a user has changed; the payload is his id."""
        self._generation += 1
        self._cache.clear()
        self.streams.suspect(UUID(payload))

    def forget(self) -> None:
        """Drop the cache and check what is open, after notifications may have been missed."""
        self._generation += 1
        self._cache.clear()
        self.streams.suspect_all()
