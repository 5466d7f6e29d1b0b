"""What a request used, and the task that writes such rows in batches, off the hot path."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from shmastra_cloud.gateway.budget import units

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime
    from decimal import Decimal
    from uuid import UUID

log = logging.getLogger(__name__)

Ending = Literal["complete", "client_gone", "cut", "upstream_error"]
BATCH = 500
MAX_RETRY_SECONDS = 5.0


class UsageRow(NamedTuple):
    """One relayed request, or one response of a realtime connection.

    ``input_tokens`` includes ``cached_tokens`` and ``cache_write_tokens``, ``output_tokens`` includes
    ``reasoning_tokens``; ``cost`` is in USD, None where no price is known; ``id`` lets a write that is
    repeated after a lost answer be told from a second request. ``at`` is when the call began: it is charged
    to that day. ``leases`` are the slices of budgets out of which it is paid.
    """

    user_id: UUID
    provider: str
    model: str | None
    purpose: str
    input_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    output_tokens: int
    status: int
    ttfb_ms: int | None
    duration_ms: int
    ended: Ending
    estimated: bool
    at: datetime
    id: UUID
    cache_write_tokens: int = 0
    cost: Decimal | None = None
    leases: tuple[UUID, ...] = ()

    @property
    def units(self) -> int:
        """What it cost in units of 1e-8 USD; nothing where no price is known."""
        return 0 if self.cost is None else units(self.cost)


class UsageSink(Protocol):
    """Takes rows; must neither block nor raise."""

    def record(self, row: UsageRow) -> None:
        """Take a row."""


class BatchWriter:
    """A sink that hands its rows to ``write`` in batches; beyond ``bound`` rows the oldest is lost."""

    def __init__(
        self,
        write: Callable[[Sequence[UsageRow]], Awaitable[None]],
        *,
        flush_seconds: float = 0.2,
        bound: int = 10_000,
        write_seconds: float = 10.0,
    ) -> None:
        self._write, self._flush_seconds, self._write_seconds = write, flush_seconds, write_seconds
        self._rows: deque[UsageRow] = deque()
        self._bound = bound
        self._some = asyncio.Event()
        self._writing = asyncio.Lock()
        self.lost = 0

    def record(self, row: UsageRow) -> None:
        """Take a row."""
        self._rows.append(row)
        if len(self._rows) > self._bound:
            self._rows.popleft()
            self.lost += 1
        self._some.set()

    @property
    def queued(self) -> int:
        """How many rows wait to be written."""
        return len(self._rows)

    async def run(self) -> None:
        """Write what comes in until cancelled; a failed batch is tried again."""
        failures = 0
        while True:
            await self._some.wait()
            await asyncio.sleep(self._flush_seconds)
            if await self._flush():
                failures = 0
                continue
            failures += 1
            longest = min(MAX_RETRY_SECONDS, self._flush_seconds * 2**failures)
            await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 -- jitter, not a secret

    async def aclose(self) -> None:
        """Write what is left, once; call it after ``run`` was cancelled."""
        if not await self._flush():
            log.error("usage of %d requests could not be written", len(self._rows))

    async def _flush(self) -> bool:
        async with self._writing:
            while self._rows:
                batch = [self._rows.popleft() for _ in range(min(BATCH, len(self._rows)))]
                if not await self._write_batch(batch):
                    return False
            self._some.clear()
        return True

    async def _write_batch(self, batch: list[UsageRow]) -> bool:
        written = False
        try:
            async with asyncio.timeout(self._write_seconds):
                await self._write(batch)
            written = True
        except Exception as error:  # noqa: BLE001 -- whatever the writer's own kind of failure is
            log.warning("usage could not be written (%s), trying again", type(error).__name__)
        finally:
            if not written:  # cancelled ones too
                self._put_back(batch)
        return written

    def _put_back(self, batch: list[UsageRow]) -> None:
        room = max(0, self._bound - len(self._rows))
        self.lost += max(0, len(batch) - room)
        self._rows.extendleft(reversed(batch[len(batch) - min(room, len(batch)) :]))
