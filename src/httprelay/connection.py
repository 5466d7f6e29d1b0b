"""One connection to an upstream: an asyncio protocol around the parser, one response at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from httprelay.errors import RelayError, UpstreamClosed, UpstreamProtocolError, UpstreamTimeout
from httprelay.response import ResponseParser

if TYPE_CHECKING:
    from collections.abc import Callable

HIGH_WATER = 64 * 1024


class Connection(asyncio.Protocol):
    """Sends requests and holds what has arrived of the answer; the reader is woken, never polled."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._limit = self._since = 0.0
        self._drained: asyncio.Future[None] | None = None
        self._writing_paused = self._reading_paused = False
        self._active = False
        self._taker: Callable[[], bool] | None = None
        self._error: RelayError | None = None
        self.answer = ResponseParser()
        self.closed = False
        self.idle_since = 0.0
        self.last_progress = 0.0

    def begin(self, *, is_head: bool) -> None:
        """Forget the last answer and get ready for the next one."""
        self.answer.begin(is_head=is_head)
        self._error = None
        self._active = True
        self.last_progress = self._loop.time()

    # What asyncio calls.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived and wake the reader."""
        answer = self.answer
        if not self._active or answer.done:
            answer.keep = False
            self._transport.abort()
            return
        self.last_progress = self._loop.time()
        try:
            answer.feed(data)
        except UpstreamProtocolError as error:
            self.fail(error)
        if self._taker is not None and self._error is None and self._taker():
            return
        if answer.buffered > HIGH_WATER and not answer.done and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """End a response that lasts until the connection does; anything else is an error."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._active and self._error is None:
            self._error = self._ending(exc)
        self.answer.close()
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Note that the upstream reads slower than we write."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Let the writer go on."""
        self._writing_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # What the relay calls.
    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.last_progress = self._loop.time()
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the upstream has taken enough of what was sent."""
        if self._writing_paused and not self.closed:
            self._drained = self._loop.create_future()
            await self._drained
        self.last_progress = self._loop.time()

    async def wait(self, seconds: float, taker: Callable[[], bool] | None = None) -> None:
        """Wait until something of the answer arrives that ``taker`` does not take.

        ``taker`` is called with each arrival, outside of any task; True: nobody need be woken for it.

        Raises:
            RelayError: nothing more will come, or nothing came in time.

        """
        self._raise_error()
        self._waiter, self._taker = self._loop.create_future(), taker
        self._watch(seconds)
        try:
            await self._waiter
        finally:
            self._waiter = self._taker = None
        self._raise_error()

    async def read_head(self, seconds: float) -> None:
        """Wait for the answer's final head.

        Raises:
            RelayError: there will be none.

        """
        while not self.answer.head_done:
            await self.wait(seconds)

    async def read(self, seconds: float) -> bytes:
        """Return the next piece of the body; ``answer.done`` tells whether it is the last one.

        Raises:
            RelayError: the rest will not come.

        """
        while not self.answer.buffered and not self.answer.done:
            await self.wait(seconds)
        return self.take()

    def take(self) -> bytes:
        """Return what has arrived of the body."""
        if self._reading_paused:
            self._reading_paused = False
            if not self.closed:
                self._transport.resume_reading()
        return self.answer.take()

    def fail(self, error: RelayError) -> None:
        """Cut the connection; whoever reads gets this error."""
        if self._error is None:
            self._error = error
        self._transport.abort()
        self._wake()

    def release(self, *, reusable: bool) -> bool:
        """End the exchange; return whether the connection can carry another one."""
        keep = reusable and self.answer.keep and not self.closed and not self._transport.is_closing()
        self._active = False
        if not keep:
            self._transport.abort()
        self.idle_since = self._loop.time()
        return keep

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _ending(self, exc: Exception | None) -> RelayError | None:
        if exc is not None and not self.answer.done:
            return UpstreamClosed("the connection to the upstream broke before its answer was whole")
        try:
            self.answer.end()
        except UpstreamClosed as error:
            return error
        return None

    def _raise_error(self) -> None:
        if self._error is not None and not (self.answer.head_done and self.answer.buffered):
            raise self._error

    def _watch(self, seconds: float) -> None:
        """Have :meth:`_late` look in time; a timer that runs already serves, if it is not too far off."""
        self._limit = seconds
        self._since = self._loop.time()
        due = self._since + seconds
        if self._timer is None or self._timer.when() > due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(due, self._late)

    def _late(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        # A request still being sent is progress too: wait on from there.
        due = max(self._since, self.last_progress) + self._limit
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._late)
        else:
            self.fail(UpstreamTimeout(f"the upstream sent nothing for {self._limit:g} s"))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
