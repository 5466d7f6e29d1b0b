"""A WebSocket to an upstream: bounded, without compression, without a proxy, and never led elsewhere."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as _connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol

from httprelay.errors import (
    ConnectFailed,
    HandshakeRefused,
    UnsafeRequest,
    UpstreamClosed,
    UpstreamProtocolError,
    UpstreamTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from websockets.http11 import Response
    from websockets.protocol import Event

    from httprelay.pool import Target

# Of its own, never below warnings: the library's would write headers, and so the key.
log = logging.getLogger("httprelay.websocket")
log.setLevel(logging.WARNING)

MESSAGE_BYTES = 16 * 1024 * 1024
FRAGMENTS = 65_536
# A slow client is given up before an upstream whose pongs wait unread behind what it was sent.
PING_SECONDS, PONG_SECONDS = 20.0, 90.0
HANDSHAKE_SECONDS = 20.0
CLOSE_SECONDS = 2.0
# One message waits in the library, and one is being written; what is beyond that, nobody reads.
_UNREAD_BYTES = 2 * MESSAGE_BYTES
_TARGET = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_VALUE = re.compile(rb"[\x09\x20-\x7e]*")
_SENDABLE = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015)))


class _Connection(ClientConnection):
    """The library's connection, with a bound for what the upstream can make grow without a message."""

    _fragments = 0

    def process_event(self, event: Event) -> None:
        super().process_event(event)
        if not isinstance(event, Frame):
            return
        if event.opcode is Opcode.CLOSE:  # who says goodbye but does not hang up is not waited for
            self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
        elif event.opcode is Opcode.CONT:
            self._fragments = 0 if event.fin else self._fragments + 1
            if self._fragments > FRAGMENTS:
                self.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_write_buffer_size() > _UNREAD_BYTES:  # answers to pings
            self.transport.abort()


class _Dial(_connect):
    """The library's way of connecting, which follows no redirect and has a time of its own."""

    connect_seconds = 5.0

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc

    async def create_connection(self) -> ClientConnection:
        try:
            async with asyncio.timeout(self.connect_seconds):
                return await super().create_connection()
        except OSError as error:  # TimeoutError and SSLError are among them
            raise ConnectFailed(f"cannot connect to {urlsplit(self.uri).netloc}: {error!r}") from error


class Closed(Exception):
    """The upstream's side has ended: with ``code`` and ``reason``, or, broken off, without a code."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Upstream:
    """An open WebSocket to an upstream; :meth:`close` must be called in the end."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the upstream chose."""
        return self._connection.subprotocol

    async def receive(self) -> str | bytes:
        """Return the next message, of at most ``MESSAGE_BYTES``.

        Raises:
            Closed: there is none any more.
        """
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise _closed(error) from None

    async def send(self, message: str | bytes) -> None:
        """Send a message; waits while the upstream takes nothing.

        Raises:
            Closed: it cannot be sent any more.
        """
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            raise _closed(error) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in order, within ``CLOSE_SECONDS``; a code that may not be sent becomes 1001."""
        code = code if sendable(code) else 1001
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._connection.close(code, short(reason))
        except TimeoutError:
            pass
        finally:
            self._connection.transport.abort()


class Sockets:
    """Opens WebSockets to upstreams; holds what they share."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls

    async def open(
        self,
        target: Target,
        path: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        subprotocols: Sequence[str],
        *,
        connect_seconds: float,
    ) -> Upstream:
        """Open a WebSocket to ``path`` (with its query) of ``target``, whose certificate is verified.

        ``headers`` are sent as they are. The answer to the handshake may take ``HANDSHAKE_SECONDS``.

        Raises:
            RelayError: there is none; :class:`HandshakeRefused` carries what the upstream answered.
        """
        scheme = "wss" if target.tls else "ws"
        pairs = list(headers)
        if not _TARGET.fullmatch(path) or not all(_VALUE.fullmatch(value) for _, value in pairs):
            raise UnsafeRequest("the path or a header holds characters that may not be sent")
        lines = [(name.decode("ascii"), value.decode("ascii")) for name, value in pairs]
        uri = f"{scheme}://{target.authority.decode()}{path.decode('ascii')}"
        dialing = _Dial(
            uri,
            compression=None,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            additional_headers=lines,
            user_agent_header=None,
            proxy=None,
            open_timeout=None,
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS,
            close_timeout=CLOSE_SECONDS,
            max_size=MESSAGE_BYTES,
            max_queue=(1, 0),
            logger=log,
            create_connection=_Connection,
            **await self._way(target),
        )
        dialing.connect_seconds = connect_seconds
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                return Upstream(await dialing)
        except InvalidStatus as error:
            raise _refused(error.response) from None
        except TimeoutError as error:
            raise UpstreamTimeout("the upstream did not answer the handshake in time") from error
        except InvalidHandshake as error:
            if isinstance(error.__cause__, EOFError):
                raise UpstreamClosed("the upstream closed the connection in the handshake") from error
            raise UpstreamProtocolError(f"the handshake failed ({type(error).__name__})") from error
        except OSError as error:
            raise UpstreamClosed("the upstream broke off in the handshake") from error

    async def _way(self, target: Target) -> dict[str, Any]:
        if target.unix_socket is not None:
            return {"unix": True, "path": target.unix_socket}
        if target.dial is not None:
            return {"sock": await target.dial()}
        if not target.tls:
            return {}
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return {"ssl": self._tls}


def sendable(code: int) -> bool:
    """Tell whether a close frame may carry a code (RFC 6455, 7.4)."""
    return code in _SENDABLE or 3000 <= code < 5000


def short(reason: str) -> str:
    """Return as much of a reason as a close frame holds: 123 bytes."""
    return reason.encode()[:123].decode("utf-8", "ignore")


def _closed(error: ConnectionClosed) -> Closed:
    if error.rcvd is None:
        return Closed(None)
    return Closed(error.rcvd.code, error.rcvd.reason)


def _refused(answer: Response) -> HandshakeRefused:
    headers = [
        (name.lower().encode("ascii"), value.encode("ascii"))
        for name, value in answer.headers.raw_items()
        if value.isascii()
    ]
    return HandshakeRefused(answer.status_code, headers, answer.body)
