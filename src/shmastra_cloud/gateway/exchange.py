"""One metered request: its clock, what it used, and the answer edited on its way to the client."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from httprelay import Revoked, Stopping, UpstreamTimeout
from shmastra_cloud.gateway.answers import Redacted, WithoutUsage
from shmastra_cloud.gateway.asked import NOTHING_SPECIAL
from shmastra_cloud.gateway.billing import Seen, used
from shmastra_cloud.gateway.credentials import headers_for_client
from shmastra_cloud.gateway.edited import edited
from shmastra_cloud.gateway.errors import CloudStopping, InvalidKey, UpstreamLate, UpstreamUnusable
from shmastra_cloud.gateway.estimates import UNSEEN_TOKENS_PER_SECOND, fields_of
from shmastra_cloud.gateway.formats import error_event
from shmastra_cloud.gateway.meter import Meter
from shmastra_cloud.gateway.prices import FREE, Cost
from shmastra_cloud.gateway.searches import Searches
from shmastra_cloud.gateway.tokens import Tokens
from shmastra_cloud.gateway.usage import UsageRow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from httprelay import Ended, RelayError
    from shmastra_cloud.gateway.answers import Edit
    from shmastra_cloud.gateway.bodies import Body
    from shmastra_cloud.gateway.credentials import Headers
    from shmastra_cloud.gateway.prices import Prices
    from shmastra_cloud.gateway.providers import Provider
    from shmastra_cloud.gateway.routes import Route
    from shmastra_cloud.gateway.running import Running
    from shmastra_cloud.gateway.usage import Ending

    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BUDGET_SPENT = "The budget is used up, so the answer was ended here."
KEY_ENDED = "The virtual key is not valid any more."
_STREAM = b"text/event-stream"
_TEXTUAL = (b"application/json", _STREAM)


class BudgetSpent(Exception):
    """An answer was ended because nothing more could be reserved for it."""


class Exchange:
    """Observes a relayed response for the meter and edits it for the client."""

    def __init__(self, provider: Provider, user_id: UUID, purpose: str, route: Route, prices: Prices) -> None:
        self._provider, self._user_id, self._purpose, self._route = provider, user_id, purpose, route
        self._prices = prices
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._first: float | None = None
        self._edit: Edit | None = None
        self._read_error: Callable[[bytes], None] | None = None
        self._textual = self._streams = False
        self._request = b""
        self._asked = NOTHING_SPECIAL
        self._searches: Searches | None = None
        self.running: Running | None = None
        self.began = time.time()
        self.sent = False
        self.late = False  # no answer has begun in time, but the provider may charge for one
        self.meter = Meter(fields_of(provider.style, responses=route.responses))
        self.status = 0
        self.model: str | None = None
        self.adds_usage = False
        self.ended: Ending = "upstream_error"

    def knows(self, body: Body) -> None:
        """Take over what the request's body says."""
        self.model = self.model or body.model
        self.adds_usage = body.adds_usage
        self._request, self._asked = body.data, body.asked
        if body.asked.searches:
            self._searches = Searches()

    def reads_error(self, read: Callable[[bytes], None]) -> None:
        """Have an error's body read by somebody, when it is whole."""
        self._read_error = read

    def on_response(self, status: int, headers: Headers) -> Headers:
        """Choose how the answer is edited, and return the headers of it that a client may see.

        Raises:
            UpstreamUnusable: a redirect, which would lead around the gateway.

        """
        self._first = self._loop.time()
        if 300 <= status < 400:
            raise UpstreamUnusable(f"{self._provider.name} answered with a redirect, which is not followed.")
        self.status = status
        kind = b""
        for name, value in headers:
            if name == b"content-type":
                kind = value.lower()
        self._textual, self._streams = kind.startswith(_TEXTUAL), kind.startswith(_STREAM)
        if status >= 400:
            self._edit = Redacted(self._provider.keys.all(), self._read_error)
        elif self.adds_usage and self._streams:
            self._edit = WithoutUsage()
        if self._edit is not None:
            headers = [pair for pair in headers if pair[0] != b"content-length"]
        kept = headers_for_client(headers, self._provider.keys.all())
        return kept if self.running is None else kept + self.running.reservation.headers()

    def chunk(self, data: bytes) -> None:
        """See a piece of the answer as the provider sent it."""
        if self._route.spends:
            self.meter.chunk(data)
            if self._searches is not None:
                self._searches.chunk(data)

    def end(self, ended: Ended) -> None:
        """Learn how the answer ended."""
        self.ended = "cut" if ended == "upstream_error" else ended

    def last_event(self, error: RelayError) -> bytes | None:
        """Return the event with which the provider's own stream would say that it broke off."""
        name = self._provider.name
        message, code = f"{name} broke off while it answered.", UpstreamUnusable.code
        if isinstance(error, UpstreamTimeout):
            message, code = f"{name} has said nothing for too long.", UpstreamLate.code
        elif isinstance(error, Stopping):
            message, code = "The cloud is being restarted. Ask again.", CloudStopping.code
        elif isinstance(error, Revoked):
            message, code = KEY_ENDED, InvalidKey.code
        return error_event(self._provider.style, code, message, responses=self._route.responses)

    def through(self, send: Send) -> Send:
        """Return the ``send`` that the answer goes through: edited, held to its money, or as it is."""
        running = self.running if self.running is not None and self.running.bounded else None
        if self._edit is None and running is None:
            return send
        return edited(send, self._edit, running, self._end)

    async def _end(self, send: Send) -> None:
        """End an answer with an event as its provider sends them, or else by cutting the connection."""
        event = error_event(
            self._provider.style, "budget_exceeded", BUDGET_SPENT, responses=self._route.responses, status=429
        )
        if self._streams and event is not None:
            await send({"type": "http.response.body", "body": event})
        raise BudgetSpent

    def row(self, status: int | None = None) -> UsageRow:
        """Return what the request used; ``status`` is the one that the gateway answered itself."""
        now = self._loop.time()
        tokens, cost = self._used(now)
        return UsageRow(
            user_id=self._user_id,
            provider=self._provider.name,
            model=self.model,
            purpose=self._purpose,
            input_tokens=tokens.input,
            cached_tokens=tokens.cached,
            reasoning_tokens=tokens.reasoning,
            output_tokens=tokens.output,
            status=status or self.status,
            ttfb_ms=None if self._first is None else round((self._first - self._started) * 1000),
            duration_ms=round((now - self._started) * 1000),
            ended=self.ended,
            estimated=tokens.estimated or not cost.exact,
            at=datetime.fromtimestamp(self.began, UTC),
            id=UUID(int=random.getrandbits(128)),
            cache_write_tokens=tokens.cache_write,
            cost=cost.usd,
            leases=() if self.running is None else self.running.leases,
        )

    def _used(self, now: float) -> tuple[Tokens, Cost]:
        """Return what the call used and cost: nothing, where the provider refused it or had no part in it."""
        if not self._route.spends or self.status >= 400 or self._is_free():
            return Tokens(), Cost(FREE)
        seen = Seen(
            complete=self.ended == "complete",
            textual=self._textual,
            unseen=self._unseen(now),
            searches=0 if self._searches is None else self._searches.count(self.model),
        )
        tokens = used(self.meter, self._route, self._asked, self._request, seen)
        return tokens, self._prices.cost(self._provider.name, self.model, tokens)

    def _is_free(self) -> bool:
        return self.status == 0 and self.ended != "client_gone" and not self.late

    def _unseen(self, now: float) -> int:
        """Estimate what a call that broke off has made without its stream showing it, by the time it took."""
        if self.ended == "complete" or not (self._route.prose or self._route.draws):
            return 0
        provider, since = self._provider, self._started
        if self._streams:
            thinks = self._asked.thinks or provider.style != "anthropic"
            if not (self._route.draws or (thinks and self._prices.hides_output(provider.name, self.model))):
                return 0
            since = since if self._first is None else self._first
        likely = int((now - since) * UNSEEN_TOKENS_PER_SECOND)
        return min(likely, self._prices.output_limit(provider.name, self.model))
