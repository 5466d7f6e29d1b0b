"""One open realtime connection: what passes both ways, what it costs, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from httprelay.websocket_client import Closed, sendable, short
from shmastra_cloud.gateway.errors import GatewayError, Idle, InvalidKey, RefusedRequest, UpstreamUnusable
from shmastra_cloud.gateway.exchange import KEY_ENDED
from shmastra_cloud.gateway.prices import FREE, Cost
from shmastra_cloud.gateway.realtime_events import error_event, other_models
from shmastra_cloud.gateway.realtime_meter import RealtimeMeter, Used
from shmastra_cloud.gateway.tokens import Tokens
from shmastra_cloud.gateway.usage import UsageRow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from httprelay.websocket_client import Upstream
    from shmastra_cloud.gateway.keys import KeyOwner
    from shmastra_cloud.gateway.permits import Gate, Permit
    from shmastra_cloud.gateway.prices import Prices
    from shmastra_cloud.gateway.usage import Ending, UsageSink

    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# A key that was rotated ends its connections within this and a notification.
CHECK_SECONDS = 0.5
ACTIVE_SECONDS = 30.0
FAREWELL_SECONDS = 2.0
MAX_MODELS = 8
SWITCHING = 101
_QUIET_ENDS = frozenset((1000, 1001, 1005))
_REDACTED = "[redacted]"
# Providers mask a refused key in their messages, and leave enough of it to tell which one it is.
_MASKED = re.compile(r"[A-Za-z0-9_-]{2,}\*{2,}[A-Za-z0-9_-]*")


class Payer(NamedTuple):
    """Who pays for a connection, to which provider, and what it is for."""

    owner: KeyOwner
    provider: str
    purpose: str


class Account:
    """What a connection may use, and the rows of what it did."""

    def __init__(self, payer: Payer, model: str, gate: Gate, prices: Prices, usage: UsageSink) -> None:
        self._payer, self.model = payer, model
        self._gate, self._prices, self._usage = gate, prices, usage
        self._permits: dict[str, Permit] = {}
        self._began = asyncio.get_running_loop().time()
        self.rows = 0

    async def admit(self, model: str) -> None:
        """Ask whether a model may be used on this connection.

        Raises:
            GatewayError: it may not.
        """
        if model in self._permits:
            return
        if self._payer.owner.models is not None:
            self._payer.owner.models.check(self._payer.provider, model)
        if len(self._permits) >= MAX_MODELS:
            raise RefusedRequest(f"One connection may use {MAX_MODELS} models.")
        self._permits[model] = await self._gate.admit(self._payer.owner, self._payer.provider, model)

    def spent(self, output_tokens: int) -> GatewayError | None:
        """Say what is being produced; an error is to end the connection."""
        return self._permits[self.model].spent(output_tokens)

    async def settle(self, used: Used, ended: Ending) -> GatewayError | None:
        """Record what was used; an error is to end the connection."""
        row = self._row(used, ended, SWITCHING)
        permit = self._permits.get(used.model or self.model) or self._permits[self.model]
        row = row._replace(leases=permit.leases)
        self._usage.record(row)
        return await permit.settle(row)

    def idle(self, ended: Ending) -> None:
        """Record a connection that used nothing."""
        self._usage.record(self._row(self._nothing(), ended, SWITCHING))

    def refused(self, status: int) -> None:
        """Record a connection that was not opened."""
        ended: Ending = "client_gone" if status == 499 else "upstream_error"
        self._usage.record(self._row(self._nothing(), ended, status))

    def ended(self) -> None:
        """Give the permits back."""
        for permit in self._permits.values():
            permit.ended()

    def _nothing(self) -> Used:
        passed = asyncio.get_running_loop().time() - self._began
        return Used(Tokens(), duration_ms=round(passed * 1000))

    def _row(self, used: Used, ended: Ending, status: int) -> UsageRow:
        self.rows += 1
        tokens, model = used.tokens, used.model or self.model
        nothing = not (tokens.input or tokens.output or tokens.more)
        cost = Cost(FREE) if nothing else self._prices.cost(self._payer.provider, model, tokens)
        return UsageRow(
            user_id=self._payer.owner.user_id,
            provider=self._payer.provider,
            model=model,
            purpose=self._payer.purpose,
            input_tokens=tokens.input,
            cached_tokens=tokens.cached,
            reasoning_tokens=tokens.reasoning,
            output_tokens=tokens.output,
            status=status,
            ttfb_ms=used.first_ms,
            duration_ms=used.duration_ms,
            ended=ended,
            estimated=tokens.estimated or not cost.exact,
            at=datetime.now(UTC),
            id=UUID(int=random.getrandbits(128)),
            cache_write_tokens=tokens.cache_write,
            cost=cost.usd,
        )


class _End(NamedTuple):
    """Who ended it and how; ``error`` where it was the gateway, ``code`` None where it broke off."""

    by: Ending
    code: int | None = None
    reason: str = ""
    error: GatewayError | None = None


class Session:
    """Passes on what both sides say, one message at a time each way: the slower side sets the pace."""

    def __init__(
        self, upstream: Upstream, receive: Receive, send: Send, account: Account, real_keys: tuple[bytes, ...]
    ) -> None:
        self._upstream, self._receive, self._send, self._account = upstream, receive, send, account
        self._keys = [key.decode("ascii") for key in real_keys]
        self._loop = asyncio.get_running_loop()
        self._meter = RealtimeMeter(self._loop.time)
        self._moved = self._loop.time()

    async def run(
        self,
        *,
        idle: float,
        valid: Callable[[], Awaitable[KeyOwner | None]],
        active: Callable[[], None],
    ) -> None:
        """Open the client's side; relay until a side ends, the key ceases, or ``idle`` seconds of silence."""
        end = _End("client_gone", 1001)
        tasks: list[asyncio.Future[_End]] = []
        try:
            await self._send({"type": "websocket.accept", "subprotocol": self._upstream.subprotocol})
            down = asyncio.ensure_future(self._down())
            tasks = [down]
            tasks += [
                asyncio.ensure_future(self._up(down)),
                asyncio.ensure_future(self._guard(idle, valid, active)),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            end = next(task.result() for task in tasks if task.done())
        except OSError:  # the client's side takes nothing any more
            end = _End("client_gone")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(self._leave_upstream(end), self._leave_client(end), self._settle_rest(end))

    async def _guard(
        self, idle: float, valid: Callable[[], Awaitable[KeyOwner | None]], active: Callable[[], None]
    ) -> _End:
        noted = self._loop.time()
        while True:
            await asyncio.sleep(min(CHECK_SECONDS, idle))
            if self._loop.time() - self._moved > idle:
                return _End("cut", error=Idle(f"Nothing was said for {idle:.0f} seconds."))
            try:
                if await valid() is None:
                    return _End("cut", error=InvalidKey(KEY_ENDED))
            except GatewayError as error:
                return _End("cut", error=error)
            if self._moved > noted + ACTIVE_SECONDS:
                noted = self._loop.time()
                active()

    async def _down(self) -> _End:
        """Pass on what the provider says, and account for it."""
        while True:
            try:
                message = await self._upstream.receive()
            except Closed as closed:
                return _End("upstream_error", closed.code, closed.reason)
            self._moved = self._loop.time()
            error = await self._accounted(self._meter.seen(message))
            await self._say(self._redacted(message))
            if error is not None:
                return _End("cut", error=error)

    async def _accounted(self, used: Used | None) -> GatewayError | None:
        if used is None:
            return self._account.spent(self._meter.output_tokens)
        return await self._account.settle(used, "complete")

    async def _say(self, message: str | bytes) -> None:
        kind = "text" if isinstance(message, str) else "bytes"
        await self._send({"type": "websocket.send", kind: message})
        self._moved = self._loop.time()

    async def _up(self, down: asyncio.Future[_End]) -> _End:
        """Pass on what the client says, unless it may not say it."""
        while True:
            got = await self._receive()
            if got["type"] == "websocket.disconnect":
                code = got.get("code")
                return _End(
                    "client_gone", 1000 if code == 1005 and "reason" in got else code, got.get("reason") or ""
                )
            self._moved = self._loop.time()
            message: str | bytes = got["text"] if got.get("text") is not None else got["bytes"]
            try:
                for model in other_models(message, self._account.model):
                    await self._account.admit(model)
            except GatewayError as error:
                await self._say(error_event(error))
                continue
            self._meter.sent(message)
            try:
                await self._upstream.send(message)
            except Closed:  # what it said before is still to be passed on
                return await asyncio.shield(down)
            self._moved = self._loop.time()

    def _redacted(self, message: str | bytes) -> str | bytes:
        """Take real keys out of what a provider says."""
        if isinstance(message, bytes):
            for key in self._keys:
                message = message.replace(key.encode("ascii"), _REDACTED.encode())
            return message
        for key in self._keys:
            if key in message:
                message = message.replace(key, _REDACTED)
        if "**" in message and '"error"' in message:
            message = _MASKED.sub(_REDACTED, message)
        return message

    async def _leave_upstream(self, end: _End) -> None:
        code = 1001 if end.code is None else end.code
        gone = end.by == "client_gone"
        await self._upstream.close(code if gone else 1000, end.reason if gone else "")

    async def _leave_client(self, end: _End) -> None:
        if end.by == "client_gone":
            return
        error = end.error
        if end.code is None and error is None:
            error = UpstreamUnusable("The provider broke off.")
        with contextlib.suppress(OSError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                if error is not None:
                    await self._say(error_event(error))
                await self._send({"type": "websocket.close", **self._farewell(end, error)})

    def _farewell(self, end: _End, error: GatewayError | None) -> dict[str, Any]:
        if error is not None:
            return {"code": 1008 if 400 <= error.status < 500 else 1011, "reason": error.code}
        code = 1000 if end.code == 1005 else end.code or 1011
        reason = short(str(self._redacted(end.reason)))
        return {"code": code if sendable(code) else 1011, "reason": reason}

    async def _settle_rest(self, end: _End) -> None:
        """Account for what was begun and will not be told any more."""
        quiet = end.code in _QUIET_ENDS
        for used in self._meter.left():
            await self._account.settle(used, end.by)
        if not self._account.rows:
            self._account.idle("complete" if quiet else end.by)
