"""Whose the things are that a provider keeps under one real key, by their ids, recorded as they are made.

An id is written to the database before it is passed on to the user, so that no crash can take it from him;
where the database does not answer in time it is passed on all the same, and written as soon as it can be.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections import Counter, OrderedDict, deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from shmastra_cloud.gateway.errors import NotOwned, OwnershipUnknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

log = logging.getLogger(__name__)

RESPONSE_LIFE = timedelta(days=31)  # OpenAI keeps a response for 30
OTHER_LIFE = timedelta(days=400)
BATCH = 200
_ID = re.compile(r"[A-Za-z0-9._/:~-]{1,300}")
MAX_RETRY_SECONDS = 5.0
PRUNE_SECONDS = 3600.0


class OwnedId(NamedTuple):
    """An id at a provider, whose it is, and until when that is remembered."""

    provider: str
    id: str
    user_id: UUID
    expires_at: datetime


class OwnedIds(Protocol):
    """Where ids are kept; any exception means "cannot tell now"."""

    async def write(self, rows: Sequence[OwnedId]) -> None:
        """Keep rows; an id that has an owner keeps him."""

    async def owner(self, provider: str, name: str) -> UUID | None:
        """Return whose an id is, or None where it is not known."""

    async def prune(self) -> None:
        """Forget what has expired."""


class Ownership:
    """Owners of ids: those seen lately in memory, all in the database. :meth:`run` writes."""

    def __init__(  # noqa: PLR0913 -- bounds and times
        self,
        kept: OwnedIds,
        *,
        bound: int = 100_000,
        pending_bound: int = 10_000,
        write_seconds: float = 1.0,
        look_seconds: float = 2.0,
        again_seconds: float = 0.3,
        looks_at_once: int = 8,
    ) -> None:
        self._kept, self._bound, self._pending_bound = kept, bound, pending_bound
        self._write_seconds, self._look_seconds, self._again_seconds = (
            write_seconds,
            look_seconds,
            again_seconds,
        )
        self._looks_at_once = looks_at_once
        self._known: OrderedDict[tuple[str, str], UUID] = OrderedDict()
        self._pending: deque[tuple[OwnedId, asyncio.Future[None]]] = deque()
        self._looking: Counter[UUID] = Counter()
        self._some = asyncio.Event()
        self.lost = 0

    async def claim(self, provider: str, ids: Iterable[str], user_id: UUID) -> None:
        """Record ids as a user's: at once here, and in the database before this returns, if it can."""
        now = datetime.now(UTC)
        written = []
        for name in ids:
            if not _ID.fullmatch(name) or (provider, name) in self._known:
                continue
            self._remember(provider, name, user_id)
            life = RESPONSE_LIFE if name.startswith("resp") else OTHER_LIFE
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._pending.append((OwnedId(provider, name, user_id, now + life), done))
            written.append(done)
        if len(self._pending) > self._pending_bound:
            self._pending.popleft()[1].cancel()
            self.lost += 1
        if written:
            self._some.set()
            _, late = await asyncio.wait(written, timeout=self._write_seconds)
            if late:
                log.warning("%d ids are passed on before they are written", len(late))

    async def hold(self, provider: str, field: str, name: str, user_id: UUID) -> None:
        """Let a user's own id pass.

        Raises:
            NotOwned: he did not create it, or nobody did: that is not told.
            OwnershipUnknown: the database cannot tell now.

        """
        owner = self._known.get((provider, name))
        if owner is None:
            owner = await self._look(provider, name, user_id)
        if owner != user_id:
            raise NotOwned(f"{field} names something that you did not create here, or that is gone.")

    async def run(self) -> None:
        """Write what was claimed, and now and then forget what has expired, until cancelled."""
        await asyncio.gather(self._write_on(), self._prune_on())

    async def aclose(self) -> None:
        """Write what is left, once; call it after :meth:`run` was cancelled."""
        if self._pending and not await self._flush():
            log.error("%d ids could not be written", len(self._pending))

    def _remember(self, provider: str, name: str, user_id: UUID) -> None:
        self._known[provider, name] = user_id
        if len(self._known) > self._bound:
            self._known.popitem(last=False)

    async def _look(self, provider: str, name: str, user_id: UUID) -> UUID | None:
        """Ask the database, twice where it does not know: another process may be about to write."""
        if not _ID.fullmatch(name):
            return None
        if self._looking[user_id] >= self._looks_at_once:  # guessing must not keep the others waiting
            raise OwnershipUnknown("Too many ids are being looked up for you at once; try again shortly.")
        self._looking[user_id] += 1
        try:
            async with asyncio.timeout(self._look_seconds):
                owner = await self._kept.owner(provider, name)
                if owner is None:
                    await asyncio.sleep(self._again_seconds)
                    owner = await self._kept.owner(provider, name)
        except Exception as error:
            raise OwnershipUnknown("Whose this id is cannot be told at the moment; try again.") from error
        finally:
            self._looking[user_id] -= 1
            self._looking += Counter()  # without those at zero
        if owner is not None:
            self._remember(provider, name, owner)
        return owner

    async def _write_on(self) -> None:
        failures = 0
        while True:
            await self._some.wait()
            if await self._flush():
                failures = 0
                continue
            failures += 1
            longest = min(MAX_RETRY_SECONDS, 0.1 * 2**failures)
            await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 -- jitter, not a secret

    async def _flush(self) -> bool:
        """Write all that is pending; what came while a batch was written makes the next one."""
        while self._pending:
            batch = [self._pending[at] for at in range(min(BATCH, len(self._pending)))]
            try:
                async with asyncio.timeout(self._look_seconds):
                    await self._kept.write([row for row, _ in batch])
            except Exception as error:  # noqa: BLE001 -- whatever the database's own kind of failure is
                log.warning("ids could not be written (%s), trying again", type(error).__name__)
                return False
            written = {row for row, _ in batch}
            while self._pending and self._pending[0][0] in written:
                done = self._pending.popleft()[1]
                if not done.done():
                    done.set_result(None)
        self._some.clear()
        return True

    async def _prune_on(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 -- jitter, not a secret
            try:
                await self._kept.prune()
            except Exception as error:  # noqa: BLE001 -- whatever the database's own kind of failure is
                log.warning("expired ids could not be forgotten (%s), trying again", type(error).__name__)
