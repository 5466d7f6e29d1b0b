"""Which virtual keys there are, held in memory so that whoever guesses keys costs the database nothing."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from shmastra_cloud.database import TROUBLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from shmastra_cloud.database import Pool

log = logging.getLogger(__name__)

PREFIX_BYTES = 8
MAX_KEYS = 200_000  # about 20 MB; with more of them each guess is looked up
SETTLE_SECONDS = 0.5
RETRY_SECONDS = 2.0
_PREFIXES = (
    "select count(*), string_agg(substring(virtual_key_hash for 8), ''::bytea)"
    " from (select virtual_key_hash from users where disabled_at is null limit $1) as kept"
)


class KnownKeys:
    """Rules keys out that are nobody's, by the first bytes of their SHA-256.

    Any change of a user makes it :meth:`stale`, and until :meth:`run` has read them anew, nothing is ruled
    out. While ``listening`` is False, changes may be missed, and nothing is ruled out either.
    """

    def __init__(self, pool: Pool, listening: Callable[[], bool], *, bound: int = MAX_KEYS) -> None:
        self._pool, self._listening, self._bound = pool, listening, bound
        self._prefixes: frozenset[bytes] | None = None
        self._wanted = asyncio.Event()
        self._wanted.set()

    def rules_out(self, key_hash: bytes) -> bool:
        """Tell whether a key is surely nobody's."""
        known = self._prefixes
        return known is not None and key_hash[:PREFIX_BYTES] not in known and self._listening()

    def stale(self) -> None:
        """Take note that there may be other keys now."""
        self._prefixes = None
        self._wanted.set()

    async def run(self) -> None:
        """Read the keys whenever they may have changed, until cancelled."""
        while True:
            await self._wanted.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._wanted.clear()
            try:
                found = await self._read()
            except TROUBLE as error:
                log.warning("the known keys could not be read (%s), trying again", type(error).__name__)
                self._wanted.set()
                await asyncio.sleep(random.uniform(RETRY_SECONDS / 2, RETRY_SECONDS))  # noqa: S311 -- jitter
                continue
            if not self._wanted.is_set():  # else they may be older than the change
                self._prefixes = found

    async def _read(self) -> frozenset[bytes] | None:
        ((count, joined),) = await self._pool.fetch(_PREFIXES, self._bound + 1)
        if count > self._bound:
            return None
        joined = joined or b""
        return frozenset(
            joined[start : start + PREFIX_BYTES] for start in range(0, len(joined), PREFIX_BYTES)
        )
