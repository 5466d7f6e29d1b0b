"""When a request is sent a second time, and with which key.

Once at most, and only while nothing of an answer has reached the client:

- 401 or 429: the provider refused the key and did nothing; the request goes out again with another key that
  does not rest, if its body is whole in memory. The refused key rests.
- no connection could be made: nothing was sent, so any request may go out again. Not after a time-out: the
  client would wait twice as long; nor where our own bound on connections is reached.
- the connection broke before an answer began: only what costs and changes nothing (GET, counting tokens) is
  repeated, because the provider may have done the work. A request on a kept connection is no exception.

A body that is streamed through, such as a large upload, is never repeated once it was begun.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING

from httprelay import ConnectFailed, TooManyConnections, UpstreamClosed
from shmastra_cloud.gateway.pools import says_invalid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shmastra_cloud.gateway.credentials import Headers
    from shmastra_cloud.gateway.exchange import Exchange
    from shmastra_cloud.gateway.pools import Taken
    from shmastra_cloud.gateway.providers import Provider
    from shmastra_cloud.gateway.routes import Route

    OnResponse = Callable[[int, Headers], Headers]
    Ask = Callable[[Headers, OnResponse], Awaitable[object]]

PAUSE_SECONDS = 0.1


class _KeyRefused(Exception):
    """The provider refused the key, and another one can be asked; it never leaves this module."""


class Attempts:
    """The one or two times that a request is sent; ``repeatable`` says that its body can be sent again."""

    def __init__(self, provider: Provider, exchange: Exchange, route: Route, *, repeatable: bool) -> None:
        self._provider, self._exchange, self._route = provider, exchange, route
        self._keys = provider.keys
        self._again = repeatable
        self._taken: Taken | None = None

    async def run(self, ask: Ask) -> None:
        """Send the request by ``ask``, which is given the lines of a key and what judges the answer.

        Raises:
            RelayError: no answer has begun.
            GatewayError: it may not be passed on.

        """
        try:
            await self._once(ask)
        except _KeyRefused:
            pass
        except ConnectFailed as error:
            if isinstance(error, TooManyConnections) or isinstance(error.__cause__, TimeoutError):
                raise
            await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 -- jitter, not a secret
        except UpstreamClosed:
            if not (self._again and self._route.harmless):
                raise
        else:
            return
        self._again = False
        await self._once(ask)

    def _once(self, ask: Ask) -> Awaitable[object]:
        self._taken = self._keys.take() if self._keys else None
        return ask(self._provider.key_lines(self._taken), self._on_response)

    def _on_response(self, status: int, headers: Headers) -> Headers:
        taken = self._taken
        if taken is not None:
            if status < 400:
                self._keys.works(taken)
            elif status in {401, 429}:
                if self._keys.refused(taken, status, headers) and self._again:
                    raise _KeyRefused
            elif status in {400, 403}:
                self._exchange.reads_error(partial(self._read, taken, status))
        return self._exchange.on_response(status, headers)

    def _read(self, taken: Taken, status: int, body: bytes) -> None:
        """Let a key rest whose error says so in its body only, too late for another attempt."""
        if says_invalid(body):
            self._keys.refused(taken, status)


def is_bodiless(headers: Headers) -> bool:
    """Tell whether a request has no body, by its headers."""
    return not any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )
