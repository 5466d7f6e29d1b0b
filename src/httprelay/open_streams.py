"""What is open for somebody, so that it can be ended when he may have it no longer."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable
from typing import Any

from httprelay.errors import RelayError, Revoked

log = logging.getLogger(__name__)

BATCH = 200
RETRY_SECONDS = 0.5

StillGood = Callable[[Collection[Any]], Awaitable[Iterable[Any]]]


class OpenStream:
    """One stream of an owner's, let in by a credential; whoever feeds it ties to it what ends it."""

    __slots__ = ("_end", "credential", "error", "owner")

    def __init__(self, owner: Hashable = None, credential: Hashable = None) -> None:
        self.owner, self.credential = owner, credential
        self.error: RelayError | None = None
        self._end: Callable[[RelayError], None] | None = None

    def tie(self, end: Callable[[RelayError], None]) -> None:
        """Have ``end`` called when the stream is cut, in place of what was tied before.

        Raises:
            RelayError: it was cut already.
        """
        if self.error is not None:
            raise self.error
        self._end = end

    def untie(self) -> None:
        """Have nothing called any more."""
        self._end = None

    def cut(self, error: RelayError) -> None:
        """End the stream; a second time does nothing."""
        if self.error is None:
            self.error = error
            if self._end is not None:
                self._end(error)


class OpenStreams:
    """The open streams of a process by their credentials; :meth:`run` ends those that may go on no longer.

    ``still_good`` returns which of some credentials are good; any exception means that it cannot tell now,
    and it is asked again. Opening and closing cost no query and no look at other streams.
    """

    def __init__(self, still_good: StillGood) -> None:
        self._still_good = still_good
        self._streams: dict[Hashable, set[OpenStream]] = {}
        self._ended: set[Hashable] = set()
        self._suspects: set[Hashable] = set()
        self._suspects_all = False
        self._wanted = asyncio.Event()
        self.news = 0

    def __len__(self) -> int:
        return sum(map(len, self._streams.values()))

    def open(self, owner: Hashable, credential: Hashable, since: int) -> OpenStream:
        """Take note of a stream; ``since`` is what :attr:`news` was before the credential was checked.

        Where something has been heard meanwhile, the check may be older than that, and is made again.
        """
        stream = OpenStream(owner, credential)
        mine = self._streams.get(credential)
        if mine is None:
            self._streams[credential] = {stream}
        else:
            mine.add(stream)
        if since != self.news:
            self._look(self._suspects, owner)
        return stream

    def close(self, stream: OpenStream) -> None:
        """Forget a stream that has ended."""
        mine = self._streams.get(stream.credential)
        if mine is not None:
            mine.discard(stream)
            if not mine:
                del self._streams[stream.credential]

    def ended(self, credential: Hashable) -> None:
        """Take note that a credential has ended: whatever it let in is cut."""
        self.news += 1
        self._look(self._ended, credential)

    def suspect(self, owner: Hashable) -> None:
        """Take note that something of an owner has changed: what he has open is checked anew."""
        self.news += 1
        self._look(self._suspects, owner)

    def suspect_all(self) -> None:
        """Have everything checked anew, after news may have been missed."""
        self.news += 1
        self._suspects_all = True
        self._wanted.set()

    async def run(self) -> None:
        """Cut what is to be cut as soon as that is heard, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            ended, self._ended = self._ended, set()
            suspects, self._suspects = self._suspects, set()
            everybody, self._suspects_all = self._suspects_all, False
            self._cut(ended)
            try:
                await self._check(None if everybody else suspects)
            except Exception as error:  # noqa: BLE001 -- whatever it is, nobody can tell now
                log.warning("open streams could not be checked (%s), trying again", type(error).__name__)
                self._suspects |= suspects
                self._suspects_all = self._suspects_all or everybody
                await asyncio.sleep(random.uniform(RETRY_SECONDS / 2, RETRY_SECONDS))  # noqa: S311 -- jitter
                self._wanted.set()

    def _look(self, what: set[Hashable], one: Hashable) -> None:
        what.add(one)
        self._wanted.set()

    def _cut(self, credentials: Iterable[Hashable]) -> None:
        for credential in credentials:
            for stream in list(self._streams.get(credential, ())):
                stream.cut(Revoked("who asked may not ask any more"))

    async def _check(self, owners: Collection[Hashable] | None) -> None:
        """Ask which credentials are good, of some owners or of all (None), and cut the others' streams."""
        asked = [
            credential
            for credential, mine in self._streams.items()
            if owners is None or next(iter(mine)).owner in owners
        ]
        for start in range(0, len(asked), BATCH):
            some = asked[start : start + BATCH]
            self._cut(set(some) - set(await self._still_good(some)))
