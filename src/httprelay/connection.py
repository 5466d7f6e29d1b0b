"""One connection to an upstream: an asyncio protocol around httptools, one response at a time."""

from __future__ import annotations

import asyncio
import re
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from httprelay.errors import RelayError, UpstreamClosed, UpstreamProtocolError, UpstreamTimeout

MAX_HEAD_BYTES = 64 * 1024
HIGH_WATER = 64 * 1024
_FOLD_OR_BARE = re.compile(rb"\n[ \t]|\r(?!\n)|(?<!\r)\n|\x00")

Headers = list[tuple[bytes, bytes]]


class Connection(asyncio.Protocol):
    """Sends requests and holds what has arrived of the response; the reader is woken, never polled."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._limit = self._since = 0.0
        self._drained: asyncio.Future[None] | None = None
        self._writing_paused = False
        self._active = False
        self.closed = False
        self.idle_since = 0.0
        self.last_progress = 0.0

    def begin(self, *, is_head: bool) -> None:
        """Forget the last response and get ready for the next one."""
        self._parser = HttpResponseParser(self)
        self._is_head = is_head
        self._raw_head = b""
        self._heads = 0
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._reading_paused = False
        self._lengths = self._encodings = 0
        self._error: RelayError | None = None
        self.headers: Headers = []
        self.status = 0
        self.head_done = self.done = self.keep = False
        self._active = True
        self.last_progress = self._loop.time()

    # What asyncio calls.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived and wake the reader."""
        if not self._active or self.done:
            self.keep = False
            self._transport.abort()
            return
        if not self.head_done:
            self._raw_head += data
        self.last_progress = self._loop.time()
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.fail(UpstreamProtocolError(f"the upstream's answer is not valid HTTP: {error}"))
        if self._raw_head:
            self._check_head()
        if self._buffered > HIGH_WATER and not self.done and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """End a response that lasts until the connection does; anything else is an error."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._active and not self.done:
            if self.head_done and exc is None and not self._lengths and not self._encodings:
                self.done = True
            elif self._error is None:
                self._error = UpstreamClosed("the upstream closed the connection before its answer was whole")
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

    # What httptools calls.
    def on_message_begin(self) -> None:
        """Refuse a second response to one request."""
        if self.done:
            raise UpstreamProtocolError("the upstream sent more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are dropped."""
        if self.head_done:
            return
        name = name.lower()
        self._lengths += name == b"content-length"
        self._encodings += name == b"transfer-encoding"
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Note the final head; interim ones are dropped."""
        self._heads += 1
        status = self._parser.get_status_code()
        if status < 200:
            self.headers = []
            return
        if (self._lengths and self._encodings) or self._lengths > 1:
            raise UpstreamProtocolError("the upstream's answer has two lengths")
        if status > 599:
            raise UpstreamProtocolError("the upstream's answer has a status that HTTP does not know")
        self.status = status
        self.head_done = True
        self.done = self._is_head

    def on_body(self, body: bytes) -> None:
        """Keep a piece until the reader takes it."""
        if not self._is_head:
            self._chunks.append(body)
            self._buffered += len(body)

    def on_message_complete(self) -> None:
        """Ask about keep-alive now: the parser has forgotten it a moment later."""
        if self.head_done:
            self.done = True
            self.keep = not self._is_head and self._parser.should_keep_alive()

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

    async def read_head(self, seconds: float) -> None:
        """Wait for the response's final head.

        Raises:
            RelayError: there will be none.

        """
        while not self.head_done:
            await self._wait(seconds)

    async def read(self, seconds: float) -> bytes:
        """Return the next piece of the body; ``done`` tells whether it is the last one.

        Raises:
            RelayError: the rest will not come.

        """
        while not self._chunks and not self.done:
            await self._wait(seconds)
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._reading_paused:
            self._reading_paused = False
            if not self.closed:
                self._transport.resume_reading()
        return data

    def fail(self, error: RelayError) -> None:
        """Cut the connection; whoever reads gets this error."""
        if self._error is None:
            self._error = error
        self._transport.abort()
        self._wake()

    def release(self, *, reusable: bool) -> bool:
        """End the exchange; return whether the connection can carry another one."""
        keep = reusable and self.done and self.keep and not self.closed and not self._transport.is_closing()
        self._active = False
        if not keep:
            self._transport.abort()
        self.idle_since = self._loop.time()
        return keep

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    async def _wait(self, seconds: float) -> None:
        self._raise_error()
        self._waiter = self._loop.create_future()
        self._watch(seconds)
        try:
            await self._waiter
        finally:
            self._waiter = None
        self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None and not (self.head_done and self._chunks):
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

    def _check_head(self) -> None:
        rest = self._raw_head
        for _ in range(self._heads):
            head, end, rest = rest.partition(b"\r\n\r\n")
            if not end or _FOLD_OR_BARE.search(head):
                self.head_done = False
                self.fail(UpstreamProtocolError("the upstream's headers are folded or have bare line ends"))
        if len(self._raw_head) - len(rest if self.head_done else b"") > MAX_HEAD_BYTES:
            self.head_done = False
            self.fail(UpstreamProtocolError("the upstream's headers are too large"))
        if self.head_done:
            self._raw_head = b""
