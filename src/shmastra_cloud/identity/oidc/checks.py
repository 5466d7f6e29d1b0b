"""Running sessions, held against the provider: who is out there is out here."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from shmastra_cloud.database import TROUBLE
from shmastra_cloud.identity.membership import MEMBERSHIP
from shmastra_cloud.identity.oidc.errors import BadToken, OidcError, Refused
from shmastra_cloud.identity.oidc.provider import is_final

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from shmastra_cloud.identity.oidc.provider import Provider
    from shmastra_cloud.identity.oidc.store import Due, ProvidedSessions
    from shmastra_cloud.identity.users import Users

T = TypeVar("T")
log = logging.getLogger(__name__)

BATCH = 20
LOOK_SECONDS = 4
ANSWER_SECONDS = 25
AWAY_SECONDS = 3600
SWEEP_SECONDS = 600
JITTER = 0.1


class Checks:
    """Asks the provider about each session whose time has come, in batches that processes share out."""

    def __init__(self, provider: Provider, sessions: ProvidedSessions, users: Users) -> None:
        self._provider, self._sessions, self._users = provider, sessions, users
        self._config = provider.config

    async def run(self) -> None:
        """Check until cancelled."""
        swept = float("-inf")
        while True:
            try:
                while await self.batch() == BATCH:
                    continue
                if time.monotonic() - swept > SWEEP_SECONDS:
                    swept = time.monotonic()
                    await self._sessions.forget_spent()
            except TROUBLE as error:
                log.warning("sessions were not held against the OpenID provider (%s)", type(error).__name__)
            most = min(LOOK_SECONDS, self._config.check_seconds / 4)
            await asyncio.sleep(most * random.uniform(0.5, 1))  # noqa: S311 -- jitter

    async def batch(self) -> int:
        """Check the sessions that are due, at most ``BATCH``; return how many there were."""
        due = await self._sessions.take_due(BATCH)
        for found in await asyncio.gather(*(self.check(one) for one in due), return_exceptions=True):
            if isinstance(found, TROUBLE):
                raise found
            if isinstance(found, BaseException):
                log.error("a session could not be checked", exc_info=found)
        return len(due)

    async def check(self, due: Due) -> None:
        """Ask about one session; it goes on, ends, or is asked about again soon."""
        config = self._config
        secret = self._sessions.open(due.sealed)
        if secret is None or secret.refresh_token is None or secret.issuer != config.issuer:
            return await self._sessions.end(due)
        tokens = await self._answer(due, self._provider.refresh(secret.refresh_token, secret.sub))
        if tokens is None:
            return None
        # Where refresh tokens change, the one of before is taken for stolen: the new one is kept first.
        now = replace(
            secret,
            refresh_token=tokens.refresh_token or secret.refresh_token,
            id_token=tokens.id_token or secret.id_token,
        )
        kept = await self._sessions.keep(due, now, self._pause())
        if kept is None:
            return None
        claims = await self._answer(kept, self._provider.claims(tokens, secret.sub, config.rechecked_claims))
        if claims is None:
            return None
        if config.required is not None and not config.required.holds(claims):
            log.info("user %s is no member at the OpenID provider any more", due.user_id)
            return await self._users.shut_out(due.user_id, because=MEMBERSHIP)
        if config.admin is not None:
            await self._sessions.set_role(due.user_id, admin=config.admin.holds(claims))
        return await self._sessions.prolong(kept, AWAY_SECONDS, config.longest_seconds)

    async def _answer(self, due: Due, call: Awaitable[T]) -> T | None:
        """Return what the provider answers, or None if it is known already what becomes of the session.

        Without an answer the session lives until it expires, an hour after the last one.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await call
        except (Refused, BadToken) as error:
            if isinstance(error, BadToken) or is_final(error):
                log.info("a session ends: %s", error)
                await self._sessions.end(due)
                return None
            trouble: Exception = error
        except (OidcError, TimeoutError) as error:
            trouble = error
        log.warning("a session is held against the OpenID provider later: %s", trouble or "too slow")
        await self._sessions.put_off(due, self._pause() / 2)
        return None

    def _pause(self) -> float:
        return self._config.check_seconds * random.uniform(1 - JITTER, 1)  # noqa: S311 -- jitter
