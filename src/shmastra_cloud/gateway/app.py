"""The gateway as an ASGI app: checks a request, gives it the real key, relays it and meters it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from httprelay import (
    ClientGone,
    ConnectFailed,
    OpenStreams,
    Pool,
    RelayError,
    Revoked,
    Stopping,
    Timeouts,
    UnsafeRequest,
    UpstreamProtocolError,
    UpstreamTimeout,
    relay,
    safe_path,
)
from shmastra_cloud.gateway.accounts import Accounts
from shmastra_cloud.gateway.asking import estimate, unpriced
from shmastra_cloud.gateway.attempts import Attempts, is_bodiless
from shmastra_cloud.gateway.bodies import Body, read_body, replay
from shmastra_cloud.gateway.catalog import catalog
from shmastra_cloud.gateway.claims import Claim
from shmastra_cloud.gateway.composio import owned_query, trimmed, trims
from shmastra_cloud.gateway.credentials import headers_for_provider, key_hash, presented, query_for_provider
from shmastra_cloud.gateway.errors import (
    CloudStopping,
    GatewayError,
    InvalidKey,
    MethodNotAllowed,
    NotConfigured,
    RefusedRequest,
    UnknownProvider,
    UpstreamLate,
    UpstreamUnusable,
)
from shmastra_cloud.gateway.exchange import KEY_ENDED, BudgetSpent, Exchange
from shmastra_cloud.gateway.limit_gate import LimitGate
from shmastra_cloud.gateway.permissions import gives_ids, hold_body, hold_ids, hold_path, read_limit
from shmastra_cloud.gateway.prices import Prices
from shmastra_cloud.gateway.realtime import Realtime, Wanted, as_http
from shmastra_cloud.gateway.refusals import refuse, send_json
from shmastra_cloud.gateway.routes import SOCKET, Matched, match
from shmastra_cloud.gateway.running import Running
from shmastra_cloud.gateway.trimming import Trimmed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
    from uuid import UUID

    from httprelay import OpenStream
    from shmastra_cloud.gateway.attempts import OnResponse
    from shmastra_cloud.gateway.credentials import Headers, Presented
    from shmastra_cloud.gateway.keys import KeyCache, KeyOwner
    from shmastra_cloud.gateway.limits import Account, Limiter
    from shmastra_cloud.gateway.ownership import Ownership
    from shmastra_cloud.gateway.permits import Gate
    from shmastra_cloud.gateway.providers import Provider
    from shmastra_cloud.gateway.usage import UsageRow, UsageSink

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger(__name__)

PREFIX = b"/api/gateway/"
_MAY_COST = (UpstreamTimeout, Stopping, Revoked)  # the provider may charge, though no answer has begun


class _Asked(NamedTuple):
    """A request that was let in."""

    provider: Provider
    matched: Matched
    key: Presented
    owner: KeyOwner
    since: int


class Gateway:
    """Answers everything under ``/api/gateway/``; :meth:`aclose` lets go of its connections.

    ``models`` are those that an admin chose for the tiers; ``timeouts`` hold where a provider has none of
    its own.
    ``refused`` is told of each request that is not sent on, by its provider's name, and why.
    ``gate`` is asked before a WebSocket opens; pages of ``origins`` may open one, and of no other.
    """

    def __init__(  # noqa: PLR0913 -- it joins this many parts
        self,
        providers: Mapping[str, Provider],
        keys: KeyCache,
        usage: UsageSink,
        activity: Callable[[UUID], None],
        *,
        models: Mapping[str, str] | None = None,
        ownership: Ownership | None = None,
        timeouts: Timeouts | None = None,
        body_seconds: float = 60.0,
        pool: Pool | None = None,
        prices: Prices | None = None,
        limits: Limiter | None = None,
        gate: Gate | None = None,
        origins: Collection[str] = (),
        refused: Callable[[str | None, GatewayError], None] | None = None,
    ) -> None:
        self.streams = OpenStreams(self._still_good)
        self._providers, self._keys, self._usage, self._activity = providers, keys, usage, activity
        self._models = models or {}
        self._timeouts, self._body_seconds = timeouts or Timeouts(), body_seconds
        self._limits = limits
        self._pool, self._ownership = pool or Pool(), ownership
        self._accounts = Accounts(self._pool)
        self._prices = prices or Prices()
        if gate is None and limits is not None:
            gate = LimitGate(limits, self._prices)
        self._sockets = Realtime(
            keys,
            usage,
            activity,
            prices=self._prices,
            timeouts=self._timeouts,
            gate=gate,
            origins=origins,
        )
        self._refused = refused

    @property
    def connections(self) -> dict[str, int]:
        """How many connections to providers are in use, and idle."""
        return self._pool.counts()

    def cut(self) -> None:
        """End every call at once, each as its provider would say that it broke off; sockets go on."""
        self._pool.cut()

    async def aclose(self) -> None:
        """Close the connections to providers."""
        await self._pool.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        if scope["type"] != "http":
            return
        path, provider, rest = self._place(scope)
        try:
            if not safe_path(path):
                raise RefusedRequest("The path can be read in two ways.")
            if provider is not None:
                await self._relay(scope, receive, send, await self._let_in(scope, provider, rest))
            elif path == PREFIX + b"catalog":
                await self._catalog(scope, send)
            else:
                raise UnknownProvider("There is no such provider here.")
        except GatewayError as error:
            if self._refused is not None:
                self._refused(None if provider is None else provider.name, error)
            await refuse(send, error, "plain" if provider is None else provider.style)

    def _place(self, scope: Scope) -> tuple[bytes, Provider | None, bytes]:
        """Return the path as it came over the wire, and of which provider which part of it is asked."""
        path = scope.get("raw_path") or quote(scope["path"]).encode()
        name, _, rest = path.removeprefix(PREFIX).partition(b"/")
        provider = self._providers.get(name.decode("ascii", "replace")) if path.startswith(PREFIX) else None
        return path, provider, b"/" + rest

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a WebSocket: with one, or as any other request where it may not be."""
        path, provider, rest = self._place(scope)
        await receive()  # that it was asked for, which we know
        try:
            if not safe_path(path):
                raise RefusedRequest("The path can be read in two ways.")
            if provider is None:
                raise UnknownProvider("There is no such provider here.")
            self._sockets.check_origin(scope["headers"])
            asked = await self._let_in({**scope, "method": SOCKET}, provider, rest)
            await self._sockets.relay(scope, receive, send, Wanted(*asked[:4]))
        except ClientGone:
            return
        except (RelayError, GatewayError) as error:
            name = None if provider is None else provider.name
            failure = error if isinstance(error, GatewayError) else _failure(name or "", error)
            if self._refused is not None and failure is error:
                self._refused(name, failure)
            await refuse(as_http(send), failure, "plain" if provider is None else provider.style)

    async def _catalog(self, scope: Scope, send: Send) -> None:
        owner = await self._owner(presented(scope["headers"], scope["query_string"]))
        if scope["method"] != "GET":
            raise MethodNotAllowed("Ask for the catalog with GET.")
        await send_json(send, 200, json.dumps(catalog(self._providers, self._models, owner.models)).encode())

    async def _owner(self, key: Presented) -> KeyOwner:
        key_hash = key.hash
        owner = self._keys.remembered(key_hash) or await self._keys.owner(key_hash)
        if owner is None:
            raise InvalidKey("The virtual key is unknown; it may have been rotated.")
        return owner

    async def _still_good(self, keys: Collection[bytes]) -> list[bytes]:
        """Return which keys are still somebody's.

        Raises:
            KeysUnavailable: that cannot be told now.
        """
        async with asyncio.TaskGroup() as group:
            asking = {key: group.create_task(self._keys.owner(key_hash(key))) for key in keys}
        return [key for key, task in asking.items() if task.result() is not None]

    async def _let_in(self, scope: Scope, provider: Provider, path: bytes) -> _Asked:
        key, since = presented(scope["headers"], scope["query_string"]), self.streams.news
        owner = await self._owner(key)
        self._activity(owner.user_id)
        if not provider.configured:
            variable = provider.variable
            raise NotConfigured(
                f"{provider.name} has no key here: an admin must set {variable} for the cloud."
            )
        matched = match(provider.routes, provider.version, scope["method"], path)
        if matched.things:
            await hold_path(self._ownership, provider, matched, owner)
        if provider.style == "composio":
            await self._accounts.hold_path(provider, scope["method"], matched.plain, str(owner.user_id))
        return _Asked(provider, matched, key, owner, since)

    async def _relay(self, scope: Scope, receive: Receive, send: Send, asked: _Asked) -> None:
        """Relay a request that was let in, and record what it used however it ends."""
        route = asked.matched.route
        exchange = Exchange(asked.provider, asked.owner.user_id, asked.key.purpose, route, self._prices)
        exchange.model = asked.matched.model
        status: int | None = None
        whole: bytes | None = None
        claim: Claim | None = None
        stream = self.streams.open(asked.owner.user_id, asked.key.key, asked.since)
        try:
            if route.method in {"POST", "PATCH"}:
                body = await self._body(scope, receive, asked)
                if body.gone:
                    return
                exchange.knows(body)
                accounts = () if self._limits is None else self._limits.accounts(asked.owner.user_id)
                if self._limits is not None and accounts:
                    await self._reserve(self._limits, accounts, asked, exchange, body)
                if self._ownership is not None and gives_ids(body, asked.provider, asked.matched):
                    claim = Claim(self._ownership, asked.provider.name, asked.owner.user_id, send)
                    send = claim.send
                whole = body.data if body.whole else None
                receive = receive if body.whole else replay(body, receive)
                del body  # what was read out of it is several times as large, and an answer may take minutes
            await self._send_on(scope, receive, send, asked, exchange, whole, stream)
            if claim is not None:
                await claim.let_go()
        except (ClientGone, asyncio.CancelledError) as error:
            exchange.ended = "client_gone"
            status = 499 if exchange.sent else None
            if isinstance(error, asyncio.CancelledError):
                raise
        except BudgetSpent:
            exchange.ended = "cut"
        except (RelayError, UpstreamUnusable) as error:
            failure = error if isinstance(error, GatewayError) else _failure(asked.provider.name, error)
            status = failure.status
            exchange.ended, exchange.late = "upstream_error", isinstance(error, _MAY_COST)
            await refuse(send, failure, asked.provider.style)
        finally:
            self.streams.close(stream)
            self._settle(exchange, status)

    async def _reserve(
        self,
        limits: Limiter,
        accounts: tuple[Account, ...],
        asked: _Asked,
        exchange: Exchange,
        body: Body,
    ) -> None:
        """Reserve for a call what the limits of its user and the organization ask for."""
        if asked.matched.route.spends and any(account.limits.money for account in accounts):
            expected = estimate(self._prices, asked.provider, asked.matched, exchange.model, body)
        else:
            expected = unpriced(asked.matched, body)
        reservation = await limits.reserve(accounts, expected.ask, exchange.began)
        exchange.running = Running(reservation, expected, exchange.meter)

    def _settle(self, exchange: Exchange, status: int | None) -> None:
        """Record what a call used, and end its reservation by it, however it ended."""
        row: UsageRow | None = None
        try:
            if status or exchange.status:
                row = exchange.row(status)
        finally:
            if exchange.running is not None:
                row = exchange.running.settle(row)
            if row is not None:
                self._usage.record(row)

    async def _body(self, scope: Scope, receive: Receive, asked: _Asked) -> Body:
        kind = b""
        for name, value in scope["headers"]:
            if name == b"content-type":
                kind = value.strip()
            elif name == b"content-encoding" and value != b"identity":
                raise RefusedRequest("Send the body without Content-Encoding.")
        try:
            body = await read_body(receive, self._body_seconds, read_limit(asked.owner, kind))
        except TimeoutError:
            raise RefusedRequest("The body did not arrive in time.") from None
        if not body.gone:
            hold_body(body, kind, asked.provider, asked.matched, asked.owner)
            if asked.provider.style == "composio":
                user = str(asked.owner.user_id)
                await self._accounts.hold_body(asked.provider, asked.matched.plain, body, user)
            elif body.careful:
                await hold_ids(self._ownership, body, asked.provider, asked.owner)
        return body

    def _send_on(  # noqa: PLR0913, PLR0917 -- ASGI's three and ours
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        asked: _Asked,
        exchange: Exchange,
        body: bytes | None,
        stream: OpenStream,
    ) -> Awaitable[None]:
        """Return what sends a request on, to be awaited."""
        query = query_for_provider(scope["query_string"], asked.key.key)
        if asked.provider.style == "composio":
            user, plain = str(asked.owner.user_id), asked.matched.plain
            query = owned_query(plain, query, user)
            if trims(scope["method"], plain):
                send = Trimmed(lambda answer: trimmed(plain, answer, user), send).send
        path = asked.provider.base_path + asked.matched.rest
        headers = headers_for_provider(scope["headers"], asked.key.key)

        def ask(key: Headers, on_response: OnResponse) -> Awaitable[object]:
            return relay(
                scope,
                receive,
                send,
                pool=self._pool,
                target=asked.provider.target,
                path=path + (b"?" + query if query else b""),
                headers=headers + key,
                on_response=on_response,
                on_cut=exchange.last_event,
                through=exchange.through,
                observer=exchange,
                body=body,
                timeouts=asked.provider.timeouts or self._timeouts,
                stream=stream,
            )

        exchange.sent = True
        repeatable = body is not None or is_bodiless(scope["headers"])
        return Attempts(asked.provider, exchange, asked.matched.route, repeatable=repeatable).run(ask)


def _failure(name: str, error: RelayError) -> GatewayError:
    if isinstance(error, UnsafeRequest):
        return RefusedRequest(f"The request cannot be sent on: {error}.")
    if isinstance(error, Stopping | Revoked):
        revoked = isinstance(error, Revoked)
        return InvalidKey(KEY_ENDED) if revoked else CloudStopping("The cloud is being restarted. Ask again.")
    if isinstance(error, UpstreamTimeout):
        return UpstreamLate(f"{name} did not answer in time.")
    if isinstance(error, UpstreamProtocolError):
        return UpstreamUnusable(f"{name} sent an answer that may not be passed on: {error}.")
    if isinstance(error, ConnectFailed):
        log.warning("no connection to %s: %s", name, error)
        return UpstreamUnusable(f"{name} cannot be reached.")
    return UpstreamUnusable(f"{name} broke off before it answered.")
