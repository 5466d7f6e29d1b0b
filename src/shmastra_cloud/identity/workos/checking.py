"""Asks WorkOS again about each session that it has begun: one that has ended there ends here."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from shmastra_cloud.database import TROUBLE, under_present_key
from shmastra_cloud.identity.sessions import TOUCH_SECONDS
from shmastra_cloud.identity.workos.errors import Away, NotMember, WorkosError
from shmastra_cloud.secrets_at_rest import MasterKeyError

if TYPE_CHECKING:
    from shmastra_cloud.database import Pool, Row
    from shmastra_cloud.identity.workos.members import Members
    from shmastra_cloud.identity.workos.provider import Provider
    from shmastra_cloud.secrets_at_rest import Vault

log = logging.getLogger(__name__)

PURPOSE_SECRET = "sessions.provider_secret"  # noqa: S105 -- a column
CHECK_SECONDS = 300  # the life of an access token, unless WorkOS's dashboard says otherwise
GRACE_SECONDS = 3600
LEASE_SECONDS = 60
AGAIN_SECONDS = 60
TURN_SECONDS = 5
BATCH = 10


class Checking:
    """Takes the sessions that are due, each by one process, and has WorkOS renew those that are in use.

    While WorkOS is away a session lives on, until it was not confirmed for ``GRACE_SECONDS``.
    """

    def __init__(self, pool: Pool, vault: Vault, provider: Provider, members: Members) -> None:
        self._pool, self._vault, self._provider, self._members = pool, vault, provider, members

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            try:
                full = await self.check() == BATCH
            except TROUBLE as error:
                log.warning("could not check sessions (%s)", type(error).__name__)
                full = False
            if not full:
                await asyncio.sleep(TURN_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311

    async def check(self) -> int:
        """Check the sessions that are due, at most ``BATCH``, and return how many there were."""
        due = await self._pool.fetch(
            "update sessions s set check_after = now() + make_interval(secs => $1) from"
            " (select token_hash from sessions where source = 'workos' and check_after <= now()"
            " order by check_after limit $2 for update skip locked) due, users u"
            " where s.token_hash = due.token_hash and u.id = s.user_id"
            " returning s.token_hash, s.user_id, s.provider_secret, s.provider_session, u.workos_id,"
            " s.checked_at < now() - make_interval(secs => $3) as overdue,"
            " s.last_used_at > s.checked_at - make_interval(secs => $4) as used",
            LEASE_SECONDS,
            BATCH,
            GRACE_SECONDS,
            TOUCH_SECONDS,
        )
        await asyncio.gather(*(self._check(row) for row in due))
        return len(due)

    async def _check(self, row: Row) -> None:
        if row["provider_secret"] is None:
            return await self._end(row, "there is nothing to ask WorkOS with")
        try:
            roles = await (self._renew(row) if row["used"] else self._look(row))
        except Away as error:
            if row["overdue"]:
                await self._end(row, f"it was not confirmed for {GRACE_SECONDS // 60} minutes: {error}")
            else:
                await self._again(row)
        except NotMember:
            await self._members.settle(row["user_id"], None)
        except (WorkosError, MasterKeyError) as error:
            await self._end(row, str(error))
        else:
            await self._members.settle(row["user_id"], roles)
        return None

    async def _renew(self, row: Row) -> frozenset[str]:
        """Have WorkOS renew a session, and keep what it gives: what it was asked with counts no more."""
        member = await self._provider.again(self._vault.open(bytes(row["provider_secret"]), PURPOSE_SECRET))
        await under_present_key(
            self._pool,
            self._vault,
            lambda pool: pool.execute(
                "update sessions set provider_session = $2, provider_secret = $3 where token_hash = $1",
                row["token_hash"],
                member.session,
                self._vault.seal(member.sealed, PURPOSE_SECRET),
            ),
        )
        await self._confirmed(row)
        return member.roles

    async def _look(self, row: Row) -> frozenset[str]:
        """See whether a session that nobody uses still stands; renewed, it would never be inactive there."""
        roles = await self._provider.standing(row["workos_id"], row["provider_session"])
        await self._confirmed(row)
        return roles

    async def _confirmed(self, row: Row) -> None:
        await self._pool.execute(
            "update sessions set checked_at = now(), check_after = now() + make_interval(secs => $2)"
            " where token_hash = $1",
            row["token_hash"],
            CHECK_SECONDS * random.uniform(0.9, 1.1),  # noqa: S311
        )

    async def _again(self, row: Row) -> None:
        await self._pool.execute(
            "update sessions set check_after = now() + make_interval(secs => $2) where token_hash = $1",
            row["token_hash"],
            AGAIN_SECONDS * random.uniform(0.5, 1.5),  # noqa: S311
        )

    async def _end(self, row: Row, why: str) -> None:
        log.info("a session of user %s ends: %s", row["user_id"], why)
        await self._pool.execute("delete from sessions where token_hash = $1", row["token_hash"])
