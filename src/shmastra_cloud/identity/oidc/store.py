"""The SQL of sessions that belong to one of the provider's, and of what may be used once."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from shmastra_cloud.database import transaction, under_present_key
from shmastra_cloud.identity.membership import write_arrival
from shmastra_cloud.secrets_at_rest import MasterKeyError

if TYPE_CHECKING:
    from uuid import UUID

    from shmastra_cloud.database import Pool
    from shmastra_cloud.secrets_at_rest import Vault

PURPOSE_SECRET = "sessions.provider_secret"  # noqa: S105 -- a column's name
# How long one process may take over one session; then another asks.
LEASE_SECONDS = 60


@dataclass(frozen=True)
class Secret:
    """What a session of ours keeps of the provider's: sealed in the database, shown nowhere."""

    issuer: str
    sub: str
    refresh_token: str | None = None
    id_token: str | None = None


@dataclass(frozen=True)
class Due:
    """A session about which the provider is to be asked now."""

    token_hash: bytes
    user_id: UUID
    sealed: bytes | None


class ProvidedSessions:
    """Sessions with the provider behind them."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self.pool, self._vault = pool, vault

    def seal(self, secret: Secret) -> bytes:
        """Return a secret as it is kept."""
        return self._vault.seal(json.dumps(asdict(secret)), PURPOSE_SECRET)

    def open(self, sealed: bytes | None) -> Secret | None:
        """Return a secret that was kept, or None where there is none, or none that this master key opens."""
        try:
            return Secret(**json.loads(self._vault.open(sealed, PURPOSE_SECRET))) if sealed else None
        except (MasterKeyError, ValueError, TypeError):
            return None

    async def take_due(self, most: int) -> list[Due]:
        """Lease the sessions that are longest due; another process gets others."""
        rows = await self.pool.fetch(
            "update sessions s set check_after = now() + make_interval(secs => $2) from"
            " (select token_hash from sessions where source = 'oidc' and check_after <= now()"
            " and expires_at > now() order by check_after limit $1 for update skip locked) due"
            " where s.token_hash = due.token_hash returning s.token_hash, s.user_id, s.provider_secret",
            most,
            LEASE_SECONDS,
        )
        return [
            Due(row["token_hash"], row["user_id"], row["provider_secret"] and bytes(row["provider_secret"]))
            for row in rows
        ]

    async def keep(self, due: Due, secret: Secret, seconds: float) -> Due | None:
        """Keep what the provider gave, and ask again after some seconds; None if the session has ended.

        What counts is the secret, not its ciphertext, which changes when the master key is replaced.
        """

        async def write(pool: Pool) -> Due | None:
            held = await pool.fetchval(
                "select provider_secret from sessions where token_hash = $1 for update", due.token_hash
            )
            if held != due.sealed and (held is None or self.open(bytes(held)) != self.open(due.sealed)):
                return None
            sealed = self.seal(secret)
            await pool.execute(
                "update sessions set provider_secret = $2, check_after = now() + make_interval(secs => $3)"
                " where token_hash = $1",
                due.token_hash,
                sealed,
                seconds,
            )
            return replace(due, sealed=sealed)

        return await under_present_key(self.pool, self._vault, write)

    async def prolong(self, due: Due, seconds: float, longest: float) -> None:
        """Let a session live for some seconds from now, as the provider has said yes; ``longest`` in all."""
        await self.pool.execute(
            "update sessions set expires_at = greatest(expires_at,"
            " least(created_at + make_interval(secs => $3), now() + make_interval(secs => $2)))"
            " where token_hash = $1",
            due.token_hash,
            seconds,
            longest,
        )

    async def put_off(self, due: Due, seconds: float) -> None:
        """Ask again after some seconds."""
        await self.pool.execute(
            "update sessions set check_after = now() + make_interval(secs => $2) where token_hash = $1",
            due.token_hash,
            seconds,
        )

    async def end(self, due: Due) -> None:
        """End a session, unless its secret has changed since it was leased."""
        await self.pool.execute(
            "delete from sessions where token_hash = $1 and provider_secret is not distinct from $2",
            due.token_hash,
            due.sealed,
        )

    async def end_at_provider(self, subject: str | None, sid: str | None) -> int:
        """End the sessions of a person, of one of the provider's sessions, or of both; return how many."""
        return len(
            await self.pool.fetch(
                "delete from sessions s using users u where s.user_id = u.id and s.source = 'oidc'"
                " and ($1::text is null or u.oidc_id = $1) and ($2::text is null or s.provider_session = $2)"
                " and ($1::text is not null or $2::text is not null) returning s.user_id",
                subject,
                sid,
            )
        )

    async def set_role(self, user_id: UUID, *, admin: bool) -> None:
        """Make a user what the provider says that he is."""
        role = "admin" if admin else "member"
        async with transaction(self.pool) as connection:
            row = await connection.fetchrow("select * from users where id = $1 for no key update", user_id)
            if row is not None and row["role"] != role:
                await connection.execute("update users set role = $2 where id = $1", user_id, role)
                await write_arrival(connection, row, "oidc", role, new=False)

    async def is_known(self, subject: str, email: str) -> bool:
        """Tell whether somebody is a user here already."""
        return bool(
            await self.pool.fetchval(
                "select exists (select from users where oidc_id = $1 or (oidc_id is null and email = $2))",
                subject,
                email.strip().lower(),
            )
        )

    async def spend(self, value: str, seconds: float) -> bool:
        """Use something up that is good once, within some seconds; return whether it was good."""
        found = await self.pool.fetchval(
            "insert into oidc_spent (hash, expires_at) values ($1, $2) on conflict do nothing returning true",
            hashlib.sha256(value.encode(errors="replace")).digest(),
            dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds),
        )
        return bool(found)

    async def forget_spent(self) -> None:
        """Forget what could not be used any more anyway."""
        await self.pool.execute("delete from oidc_spent where expires_at < now()")
