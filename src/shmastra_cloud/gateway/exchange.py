"""One metered request: its clock, what it used, and the answer edited on its way to the client."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from httprelay import UpstreamTimeout
from shmastra_cloud.gateway.answers import Redacted, WithoutUsage
from shmastra_cloud.gateway.credentials import headers_for_client
from shmastra_cloud.gateway.errors import UpstreamLate, UpstreamUnusable
from shmastra_cloud.gateway.formats import error_event
from shmastra_cloud.gateway.meter import Meter
from shmastra_cloud.gateway.tokens import Tokens
from shmastra_cloud.gateway.usage import UsageRow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from httprelay import Ended, RelayError
    from shmastra_cloud.gateway.answers import Edit
    from shmastra_cloud.gateway.bodies import Body
    from shmastra_cloud.gateway.credentials import Headers
    from shmastra_cloud.gateway.providers import Provider
    from shmastra_cloud.gateway.routes import Route
    from shmastra_cloud.gateway.usage import Ending

    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_TEXTUAL = (b"application/json", b"text/event-stream")


class Exchange:
    """Observes a relayed response for the meter and edits it for the client."""

    def __init__(self, provider: Provider, user_id: UUID, purpose: str, route: Route) -> None:
        self._provider, self._user_id, self._purpose, self._route = provider, user_id, purpose, route
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._first: float | None = None
        self._meter = Meter()
        self._edit: Edit | None = None
        self._textual = False
        self.status = 0
        self.model: str | None = None
        self.request_bytes = 0
        self.adds_usage = False
        self.ended: Ending = "upstream_error"

    def knows(self, body: Body) -> None:
        """Take over what the request's body says."""
        self.model = self.model or body.model
        self.request_bytes = len(body.data)
        self.adds_usage = body.adds_usage

    def on_response(self, status: int, headers: Headers) -> Headers:
        """Choose how the answer is edited, and return the headers of it that a client may see.

        Raises:
            UpstreamUnusable: a redirect, which would lead around the gateway.

        """
        self._first = self._loop.time()
        if 300 <= status < 400:
            raise UpstreamUnusable(f"{self._provider.name} answered with a redirect, which is not followed.")
        self.status = status
        kind = dict(headers).get(b"content-type", b"").lower()
        self._textual = kind.startswith(_TEXTUAL)
        if status >= 400:
            self._edit = Redacted(self._provider.keys.all())
        elif self.adds_usage and kind.startswith(b"text/event-stream"):
            self._edit = WithoutUsage()
        if self._edit is not None:
            headers = [pair for pair in headers if pair[0] != b"content-length"]
        return headers_for_client(headers, self._provider.keys.all())

    def chunk(self, data: bytes) -> None:
        """See a piece of the answer as the provider sent it."""
        if self._route.spends:
            self._meter.chunk(data)

    def end(self, ended: Ended) -> None:
        """Learn how the answer ended."""
        self.ended = "cut" if ended == "upstream_error" else ended

    def last_event(self, error: RelayError) -> bytes | None:
        """Return the event with which the provider's own stream would say that it broke off."""
        name = self._provider.name
        late = isinstance(error, UpstreamTimeout)
        message = f"{name} has said nothing for too long." if late else f"{name} broke off while it answered."
        code = UpstreamLate.code if late else UpstreamUnusable.code
        return error_event(self._provider.style, code, message, responses=self._route.responses)

    def editing(self, send: Send) -> Send:
        """Return a ``send`` that passes the answer on edited."""

        async def edited(message: MutableMapping[str, Any]) -> None:
            if self._edit is not None and message["type"] == "http.response.body":
                more = message.get("more_body", False)
                message["body"] = self._edit.feed(message.get("body", b""), last=not more)
                if more and not message["body"]:
                    return
            await send(message)

        return edited

    def row(self, status: int | None = None) -> UsageRow:
        """Return what the request used; ``status`` is the one that the gateway answered itself."""
        tokens = self._tokens()
        now = self._loop.time()
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
            estimated=tokens.estimated,
            at=datetime.now(UTC),
            id=UUID(int=random.getrandbits(128)),
        )

    def _tokens(self) -> Tokens:
        if not self._route.spends or self.status >= 400 or (self.status == 0 and self.ended != "client_gone"):
            return Tokens()
        return self._meter.tokens(
            complete=self.ended == "complete",
            request_bytes=self.request_bytes,
            textual=self._textual,
            prose=self._route.prose,
        )
