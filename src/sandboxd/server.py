"""One listener for three things: the control API, envd, and the ports of sandboxes, told apart by headers."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from httprelay import ConnectFailed, Pool, RelayError, Target, relay, safe_path
from sandboxd.cgroups import refused_processes
from sandboxd.control import control_app
from sandboxd.envd import Envd, may, signed_for
from sandboxd.errors import NoSuchSandbox, WrongState
from sandboxd.routes import ENVD_PORT, wanted
from sandboxd.signals import signal_group

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence

    from sandboxd.engine import Engine, Live

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger(__name__)

STALLED_SECONDS = 300
_OURS = (b"e2b-", b"x-access-token")


class Hands:
    """How envd gets into one sandbox."""

    def __init__(self, live: Live) -> None:
        self._live = live

    @property
    def envs(self) -> Mapping[str, str]:
        """What was given at creation."""
        return self._live.record.envs

    async def start(self, argv: Sequence[str], *, user: str, link: socket.socket) -> bool:
        """Start a program inside with a socket as its standard input; False where it did not start."""
        return await self._live.sandbox.start_inside(argv, user=user, link=link)

    async def signal(self, group: int, number: int) -> int:
        """Signal a process group by its number inside; return how many processes were reached.

        Raises:
            WrongState: the sandbox does not run.
        """
        async with self._live.lock:  # it stands still for a moment, which a pause must not be mistaken for
            if self._live.record.state != "running":
                raise WrongState(f"Sandbox {self._live.record.id} is paused.")
            return await signal_group(self._live.record.id, group, number)

    def refused_processes(self) -> int:
        """Return how often the sandbox was refused one process more than its limit."""
        return refused_processes(self._live.record.id)


class Server:
    """The ASGI application of ``sandboxd serve``."""

    def __init__(self, engine: Engine, api_key: str) -> None:
        self._engine, self._control, self._pool = engine, control_app(engine, api_key), Pool()

    async def aclose(self) -> None:
        """Close the connections into sandboxes."""
        await self._pool.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a request where its headers or its host say."""
        if scope["type"] != "http":
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        send = _within_time(send)
        try:
            found = wanted(headers)
        except ValueError as error:
            await _refuse(send, 400, headers.get(b"e2b-sandbox-id", ""), str(error))
            return
        if found is None and scope["path"] == "/files":
            found = self._signed(scope)
            if found is None:
                await _refuse(send, 401, "", "The signature is of no sandbox here, or its time is over")
                return
        if found is None:
            await self._control(scope, receive, send)
        else:
            await self._into(*found, headers, scope, receive, send)

    def _signed(self, scope: Scope) -> tuple[str, int] | None:
        """Return the sandbox whose token signed a file's address, where nothing else names it."""
        for record in self._engine.all():
            if signed_for(scope, record.envd_token):
                return record.id, ENVD_PORT
        return None

    async def _into(  # noqa: PLR0913, PLR0917 -- ASGI's three and ours
        self,
        sandbox_id: str,
        port: int,
        headers: dict[bytes, str],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        try:
            live = self._engine.get(sandbox_id)
        except NoSuchSandbox:
            await _refuse(send, 502, sandbox_id, "The sandbox was not found")
            return
        if live.record.state != "running":
            await _refuse(send, 502, sandbox_id, "The sandbox was not found (it is paused)")
        elif port == ENVD_PORT:
            await self._envd(live, headers, scope, receive, send)
        elif not safe_path(scope["raw_path"]):
            await _refuse(send, 400, sandbox_id, "The path is not one")
        else:
            await self._port(live, port, headers, scope, receive, send)

    async def _envd(
        self, live: Live, headers: dict[bytes, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        if not may(scope, headers, live.record.envd_token):
            await _refuse(send, 401, live.record.id, "The access token is not right")
            return
        if live.envd is None:
            live.envd = Envd(Hands(live))
        await live.envd(scope, receive, send)

    async def _port(  # noqa: PLR0913, PLR0917 -- ASGI's three and ours
        self, live: Live, port: int, headers: dict[bytes, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        record = live.record
        given = headers.get(b"e2b-traffic-access-token", "")
        if not record.public and not hmac.compare_digest(given.encode(), record.traffic_token.encode()):
            await _refuse(send, 403, record.id, "The traffic access token is not right")
            return
        query = scope["query_string"]
        target = Target(f"{record.id}.sandbox", port, dial=_dial(live, port))
        try:
            await relay(
                scope,
                receive,
                send,
                pool=self._pool,
                target=target,
                path=scope["raw_path"] + (b"?" + query if query else b""),
                headers=[pair for pair in scope["headers"] if not pair[0].startswith(_OURS)],
            )
        except ConnectFailed:
            await _refuse(send, 502, record.id, "The sandbox is running but port is not open")
        except RelayError as error:
            log.info("a request into %s failed: %s", record.id, type(error).__name__)
            await _refuse(send, 504, record.id, "The sandbox did not answer")


def _dial(live: Live, port: int) -> Any:
    """Return the way to a port; the same object each time, since connections are kept by it."""
    return live.ways.setdefault(port, partial(live.sandbox.connect, port))


def _within_time(send: Send) -> Send:
    """Give up on a client that takes nothing for so long."""

    async def bounded(message: MutableMapping[str, Any]) -> None:
        async with asyncio.timeout(STALLED_SECONDS):
            await send(message)

    return bounded


async def _refuse(send: Send, status: int, sandbox_id: str, message: str) -> None:
    body = json.dumps({"sandboxId": sandbox_id[:64], "message": message, "code": status}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
