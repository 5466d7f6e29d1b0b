"""Whose a virtual key is: looked up once, remembered until a notification or a bound drops it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shmastra_cloud.gateway.errors import KeysUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from shmastra_cloud.gateway.model_rule import ModelRule

GRACE_SECONDS = 60.0
NEGATIVE_SECONDS = 10.0
RETRY_SECONDS = 0.5


@dataclass(frozen=True)
class KeyOwner:
    """Who pays for what is asked with a key, and which models he may call (None: any)."""

    user_id: UUID
    models: ModelRule | None = None


class KeyLookup(Protocol):
    """Where keys are kept."""

    async def lookup(self, key_hash: bytes) -> KeyOwner | None:
        """Return a key's owner, None where there is none; any exception means "cannot tell now"."""


class KnownHashes(Protocol):
    """Knows which keys there are, so that a guess costs no query."""

    def rules_out(self, key_hash: bytes) -> bool:
        """Tell whether a key is surely nobody's."""

    def stale(self) -> None:
        """Take note that there may be other keys now."""


@dataclass
class _Entry:
    owner: KeyOwner
    confirmed: float


class KeyCache:
    """Owners by the SHA-256 of their key.

    While :attr:`degraded` (nobody would tell us of a rotated key) each key is looked up on each use; if that
    fails too, keys known before go on for a minute, counted from when they were last known to be good.
    What ``known`` rules out is not even looked up.
    """

    def __init__(  # noqa: PLR0913 -- bounds and seams
        self,
        lookup: KeyLookup,
        *,
        bound: int = 50_000,
        negative_bound: int = 10_000,
        lookup_seconds: float = 2.0,
        listening: Callable[[], bool] | None = None,
        known: KnownHashes | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._lookup, self._bound, self._negative_bound = lookup, bound, negative_bound
        self._lookup_seconds, self._listening = lookup_seconds, listening
        self._hashes = known
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._known: OrderedDict[bytes, _Entry] = OrderedDict()
        self._unknown: OrderedDict[bytes, float] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[KeyOwner | None]] = {}
        self._generation = 0
        self._broken = False
        self._broken_since: float | None = None
        self._failure: Exception = KeysUnavailable()
        self._ask_again = float("-inf")

    @property
    def degraded(self) -> bool:
        """Whether notifications of changed keys may be missed."""
        return self._broken or (self._listening is not None and not self._listening())

    @degraded.setter
    def degraded(self, value: bool) -> None:
        self._broken = value
        self._note_state()

    @property
    def sizes(self) -> dict[str, int]:
        """How many keys are remembered: known ones, and what was found to be nobody's."""
        return {"known": len(self._known), "unknown": len(self._unknown)}

    def drop(self, user_id: UUID) -> None:
        """Forget a user's keys, and what was found to be nobody's: it may be his new one."""
        self._generation += 1
        self._unknown.clear()
        if self._hashes is not None:
            self._hashes.stale()
        for key_hash in [found for found, entry in self._known.items() if entry.owner.user_id == user_id]:
            del self._known[key_hash]

    def drop_all(self) -> None:
        """Forget everything, as after a gap in the notifications."""
        self._generation += 1
        self._unknown.clear()
        if self._hashes is not None:
            self._hashes.stale()
        self._known.clear()

    def remembered(self, key_hash: bytes) -> KeyOwner | None:
        """Return a key's owner, if that can be told at once; else ask :meth:`owner`."""
        if self._broken_since is not None or self.degraded:
            return None
        entry = self._known.get(key_hash)
        if entry is None:
            return None
        self._known.move_to_end(key_hash)
        return entry.owner

    async def owner(self, key_hash: bytes) -> KeyOwner | None:
        """Return a key's owner, or None.

        Raises:
            KeysUnavailable: the key cannot be checked and was not checked lately.

        """
        self._note_state()
        if self._broken_since is None:
            entry = self._known.get(key_hash)
            if entry is not None:
                self._known.move_to_end(key_hash)
                return entry.owner
            if self._unknown.get(key_hash, float("-inf")) > self._clock():
                return None
            if self._hashes is not None and self._hashes.rules_out(key_hash):
                return None
        if self._clock() < self._ask_again:  # not everyone waits for a database that just did not answer
            return self._in_grace(key_hash, self._failure)
        try:
            return await self._ask_once(key_hash)
        except Exception as error:  # noqa: BLE001 -- whatever the lookup's own kind of failure is
            self._failure, self._ask_again = error, self._clock() + RETRY_SECONDS
            return self._in_grace(key_hash, error)

    def _note_state(self) -> None:
        if not self.degraded:
            self._broken_since = None
        elif self._broken_since is None:
            self._broken_since = self._clock()

    def _in_grace(self, key_hash: bytes, error: Exception) -> KeyOwner:
        entry = self._known.get(key_hash)
        since = self._clock() if self._broken_since is None else self._broken_since
        if entry is not None and self._clock() - max(entry.confirmed, since) < GRACE_SECONDS:
            return entry.owner
        raise KeysUnavailable("Keys cannot be checked at the moment; try again shortly.") from error

    async def _ask_once(self, key_hash: bytes) -> KeyOwner | None:
        """Let all who ask for the same key at the same time share one query."""
        task = self._asking.get(key_hash)
        if task is None:
            task = asyncio.ensure_future(self._ask(key_hash))
            self._asking[key_hash] = task
            task.add_done_callback(lambda _: self._asking.pop(key_hash, None))
        return await asyncio.shield(task)

    async def _ask(self, key_hash: bytes) -> KeyOwner | None:
        async with asyncio.timeout(self._lookup_seconds):
            while True:
                generation = self._generation
                owner = await self._lookup.lookup(key_hash)
                if generation == self._generation:  # else the answer may be older than the change
                    break
        self._remember(key_hash, owner)
        return owner

    def _remember(self, key_hash: bytes, owner: KeyOwner | None) -> None:
        if owner is None:
            self._known.pop(key_hash, None)
            self._unknown[key_hash] = self._clock() + NEGATIVE_SECONDS
            self._unknown.move_to_end(key_hash)
            if len(self._unknown) > self._negative_bound:
                self._unknown.popitem(last=False)
            return
        self._unknown.pop(key_hash, None)
        self._known[key_hash] = _Entry(owner, self._clock())
        self._known.move_to_end(key_hash)
        if len(self._known) > self._bound:
            self._known.popitem(last=False)
