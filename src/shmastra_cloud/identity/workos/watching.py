"""Reads WorkOS's events, in one process at a time, so that who was removed there is soon out here."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING
from uuid import uuid4

from shmastra_cloud.database import TROUBLE
from shmastra_cloud.identity.workos.errors import Away, Refused, WorkosError
from shmastra_cloud.identity.workos.news import news_in
from shmastra_cloud.identity.workos.once import sweep

if TYPE_CHECKING:
    from shmastra_cloud.database import Pool, Row
    from shmastra_cloud.identity.workos.members import Members
    from shmastra_cloud.identity.workos.provider import Provider

log = logging.getLogger(__name__)

POLL_SECONDS = 10
MOST_SECONDS = 60
LEASE_SECONDS = 30
COMPARE_HOURS = 1
PAGES = 20


class Watching:
    """Reads events every ``POLL_SECONDS``, and compares all members at the start and every hour.

    Where WorkOS or the database is away it asks less and less often, every ``MOST_SECONDS`` at last. A
    process that dies is followed by another within ``LEASE_SECONDS``.
    """

    def __init__(self, pool: Pool, provider: Provider, members: Members) -> None:
        self._pool, self._provider, self._members = pool, provider, members
        self._holder = uuid4()
        self._failures = 0

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await self._once()
            await asyncio.sleep(self.pause())

    def pause(self) -> float:
        """Return for how long to wait, some of it by chance so that processes do not march in step."""
        return min(POLL_SECONDS * 2.0**self._failures, MOST_SECONDS) * random.uniform(0.8, 1.2)  # noqa: S311

    async def _once(self) -> None:
        try:
            await self.read()
        except (WorkosError, *TROUBLE) as error:
            self._failures = min(self._failures + 1, 8)
            log.warning("could not read WorkOS's events (%s: %s)", type(error).__name__, _told(error))
        else:
            self._failures = 0

    async def read(self) -> bool:
        """Read what is new; False if another process does.

        Raises:
            Away: WorkOS is; what was read before that is done.
        """
        row = await self._lease()
        if row is None:
            return False
        if row["stale"]:
            await self._members.compare()
            await sweep(self._pool)
            await self._note("compared_at = now()")
        await self._read_on(row["after_id"], row["since"])
        return True

    async def _read_on(self, after: str | None, since: str) -> None:
        for _ in range(PAGES):
            try:
                events = await self._provider.events(after, since)
            except Away:
                raise
            except Refused as error:
                if after is None:
                    raise
                log.warning("WorkOS does not know the last event any more (%s): reading anew", error.code)
                await self._note("after_id = null, since = now(), compared_at = null")
                return
            for event in events:
                news = news_in(event, self._provider.organization)
                if news is not None:
                    await self._members.hear(news)
                after = str(event.get("id"))
                await self._note("after_id = $3", after)
            if not events:
                return

    async def _lease(self) -> Row | None:
        await self._pool.execute(
            "insert into workos_events (organization_id) values ($1) on conflict do nothing",
            self._provider.organization,
        )
        return await self._pool.fetchrow(
            "update workos_events set holder = $2, lease_until = now() + make_interval(secs => $3)"
            " where organization_id = $1 and (holder = $2 or lease_until < now()) returning after_id,"
            " to_char(since at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') as since,"
            " coalesce(compared_at < now() - make_interval(hours => $4), true) as stale",
            self._provider.organization,
            self._holder,
            LEASE_SECONDS,
            COMPARE_HOURS,
        )

    async def _note(self, what: str, *values: str) -> None:
        """Note how far we are, unless another process has taken over."""
        await self._pool.execute(
            f"update workos_events set {what} where organization_id = $1 and holder = $2",  # noqa: S608 -- ours
            self._provider.organization,
            self._holder,
            *values,
        )


def _told(error: BaseException) -> str:
    """Return our own errors' text; a database's may hold values."""
    return str(error) if isinstance(error, WorkosError) else ""
