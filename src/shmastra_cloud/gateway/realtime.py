"""OpenAI's realtime API through the gateway: a WebSocket on each side, metered event by event."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from httprelay import ClientGone, HandshakeRefused, RelayError, Timeouts, without_hops
from httprelay.websocket_client import Sockets, Upstream
from shmastra_cloud.gateway.answers import Redacted
from shmastra_cloud.gateway.credentials import headers_for_client, headers_for_provider
from shmastra_cloud.gateway.errors import RouteRefused, TooManySockets, UpstreamUnusable
from shmastra_cloud.gateway.formats import error_body
from shmastra_cloud.gateway.permits import OpenGate
from shmastra_cloud.gateway.pools import says_invalid
from shmastra_cloud.gateway.realtime_events import model_of, offered
from shmastra_cloud.gateway.realtime_session import Account, Payer, Session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine, MutableMapping
    from uuid import UUID

    from shmastra_cloud.gateway.credentials import Headers, Presented
    from shmastra_cloud.gateway.keys import KeyCache, KeyOwner
    from shmastra_cloud.gateway.permits import Gate
    from shmastra_cloud.gateway.prices import Prices
    from shmastra_cloud.gateway.providers import Provider
    from shmastra_cloud.gateway.routes import Matched
    from shmastra_cloud.gateway.usage import UsageSink

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_SOCKETS = 1024


class Wanted(NamedTuple):
    """A connection that was let in as far as its key and its route."""

    provider: Provider
    matched: Matched
    key: Presented
    owner: KeyOwner


def as_http(send: Send) -> Send:
    """Return a ``send`` through which an answer of HTTP is given instead of a WebSocket."""

    async def answering(message: MutableMapping[str, Any]) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return answering


class Realtime:
    """Relays WebSockets; ``gate`` is asked before each, ``origins`` are those whose pages may open one."""

    def __init__(  # noqa: PLR0913 -- it joins this many parts
        self,
        keys: KeyCache,
        usage: UsageSink,
        activity: Callable[[UUID], None],
        *,
        prices: Prices,
        timeouts: Timeouts,
        gate: Gate | None = None,
        origins: Collection[str] = (),
        sockets: Sockets | None = None,
    ) -> None:
        self._keys, self._usage, self._activity, self._timeouts = keys, usage, activity, timeouts
        self._prices = prices
        self._gate, self._sockets = gate or OpenGate(), sockets or Sockets()
        self._origins = frozenset(origin.encode() for origin in origins)
        self._open = 0

    def check_origin(self, headers: Headers) -> None:
        """Refuse a page of another origin; who is no page sends none.

        Raises:
            RouteRefused: it is one.
        """
        if any(name == b"origin" and value not in self._origins for name, value in headers):
            raise RouteRefused("A page of another origin may not open a WebSocket here.")

    async def relay(self, scope: Scope, receive: Receive, send: Send, wanted: Wanted) -> None:
        """Open the provider's side, then the client's, and pass on what both say until one ends.

        Raises:
            GatewayError: it may not be; the client's side was not opened.
            RelayError: the provider's side could not be opened.
        """
        model = model_of(scope["query_string"])
        names = offered(scope["subprotocols"])
        if self._open >= MAX_SOCKETS:
            raise TooManySockets("Too many realtime connections are open here; try again later.")
        self._open += 1
        payer = Payer(wanted.owner, wanted.provider.name, wanted.key.purpose)
        account = Account(payer, model, self._gate, self._prices, self._usage)
        try:
            await account.admit(model)
            upstream = await self._dial(scope, receive, wanted, model, names, account)
            if isinstance(upstream, HandshakeRefused):
                await _pass_on(as_http(send), upstream, wanted.provider)
                return
            session = Session(upstream, receive, send, account, wanted.provider.keys.all())
            await session.run(
                idle=(wanted.provider.timeouts or self._timeouts).idle,
                valid=lambda: self._keys.owner(wanted.key.hash),
                active=lambda: self._activity(wanted.owner.user_id),
            )
        finally:
            self._open -= 1
            account.ended()

    async def _dial(  # noqa: PLR0913, PLR0917 -- a connection has this many parts
        self,
        scope: Scope,
        receive: Receive,
        wanted: Wanted,
        model: str,
        names: list[str],
        account: Account,
    ) -> Upstream | HandshakeRefused:
        """Open the provider's side; record what it answers instead, and return it if it may be passed on."""
        headers = _readable(headers_for_provider(scope["headers"], wanted.key.key))
        path = wanted.provider.base_path + wanted.matched.rest + b"?model=" + model.encode()
        try:
            return await _while_there(receive, self._handshake(wanted.provider, path, headers, names))
        except HandshakeRefused as error:
            account.refused(error.status)
            if 400 <= error.status < 600:
                return error
            raise UpstreamUnusable(
                f"{wanted.provider.name} answered with {error.status}, which is not followed."
            ) from None
        except ClientGone:
            account.refused(499)
            raise
        except RelayError:
            account.refused(502)
            raise

    async def _handshake(
        self, provider: Provider, path: bytes, headers: Headers, names: list[str], *, again: bool = True
    ) -> Upstream:
        """Ask the provider; where it refuses the key, which rests then, once more with another one."""
        keys = provider.keys
        taken = keys.take() if keys else None
        try:
            upstream = await self._sockets.open(
                provider.target,
                path,
                [*headers, *provider.key_lines(taken)],
                names,
                connect_seconds=(provider.timeouts or self._timeouts).connect,
            )
        except HandshakeRefused as error:
            invalid = error.status in {401, 429} or (error.status in {400, 403} and says_invalid(error.body))
            if taken is None or not invalid:
                raise
            if not keys.refused(taken, error.status, error.headers) or not again:
                raise
        else:
            if taken is not None:
                keys.works(taken)
            return upstream
        return await self._handshake(provider, path, headers, names, again=False)


async def _while_there(receive: Receive, dialing: Coroutine[Any, Any, Upstream]) -> Upstream:
    """Wait for the provider's side as long as the client waits.

    Raises:
        ClientGone: it went.
    """
    opening = asyncio.ensure_future(dialing)
    leaving = asyncio.ensure_future(receive())
    try:
        await asyncio.wait({opening, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not leaving.done():
            return opening.result()
        if opening.done() and opening.exception() is None:
            await opening.result().close(1001)
        raise ClientGone("the client went away")
    finally:
        for task in (opening, leaving):
            task.cancel()
        await asyncio.gather(opening, leaving, return_exceptions=True)


def _readable(headers: Headers) -> Headers:
    return [(name, value) for name, value in headers if value.isascii()]


async def _pass_on(send: Send, refused: HandshakeRefused, provider: Provider) -> None:
    """Answer what the provider answered, in its format, without real keys."""
    body = Redacted(provider.keys.all()).feed(refused.body, last=True)
    if not _is_object(body):
        message = f"{provider.name} refused the connection with {refused.status}."
        body = error_body(provider.style, refused.status, "upstream_refused", message)
    headers = [
        (name, value)
        for name, value in headers_for_client(without_hops(refused.headers), provider.keys.all())
        if name not in (b"content-length", b"content-type", b"content-encoding")
    ]
    headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body.decode()), dict)
    except (ValueError, RecursionError):
        return False
