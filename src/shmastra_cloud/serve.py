"""Runs a web or a worker process: sockets, servers, background tasks, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from httprelay.websocket_server import SocketHttpProtocol
from shmastra_cloud.web_process import GATEWAY

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator

    from shmastra_cloud.settings import Settings
    from shmastra_cloud.web_process import Asgi, Cloud

log = logging.getLogger(__name__)

STOP_SECONDS = 5


class WebProtocol(SocketHttpProtocol):
    """What browsers and sandboxes speak: HTTP, and with the gateway WebSocket."""

    sockets = (GATEWAY.encode(),)


class _Server(uvicorn.Server):
    """One of several servers in a process whose signals are handled once, outside."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def inherited_sockets(text: str | None) -> dict[str, socket.socket]:
    """Return the listening sockets that the supervisor passed on, from ``tcp=3,sandbox=4,admin=5``.

    Raises:
        ValueError: the text has another form.
    """
    found: dict[str, socket.socket] = {}
    for part in (text or "").split(","):
        name, separator, number = part.partition("=")
        if part and not (separator and number.isdigit()):
            raise ValueError(f"SHMASTRA_LISTEN_FDS holds {part!r}; it looks like tcp=3,sandbox=4.")
        if part:
            found[name] = socket.socket(fileno=int(number))
    return found


def own_sockets(
    settings: Settings, names: tuple[str, ...] = ("sandbox", "admin")
) -> dict[str, socket.socket]:
    """Bind the port and the named unix sockets of a process that no supervisor started.

    Raises:
        OSError: the port is taken, or the folder cannot be written.
    """
    tcp = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        tcp.bind((settings.host, settings.port))
    except OSError as error:
        tcp.close()
        raise OSError(
            f"Port {settings.port} of {settings.host} cannot be used ({error.strerror}). "
            "Set SHMASTRA_PORT to another one."
        ) from error
    if names:
        settings.run.mkdir(parents=True, exist_ok=True)
    return {"tcp": tcp} | {name: _unix(settings, name) for name in names}


def _unix(settings: Settings, name: str) -> socket.socket:
    path = settings.run / f"{name}.sock"
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        bound.bind(str(path))
    finally:
        os.umask(before)
    return bound


def _without_delay(listeners: Iterable[socket.socket]) -> None:
    """Have the kernel hold nothing back: an answer's head and body are written one after the other.

    Connections inherit it; asyncio sets it only on those whose listener was made with its protocol named.
    """
    for listener in listeners:
        if listener.family != socket.AF_UNIX:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def run_web(settings: Settings, dsn: str) -> None:
    """Serve browsers, sandboxes and the command line until told to stop."""
    from shmastra_cloud.app import build

    sockets = inherited_sockets(os.environ.get("SHMASTRA_LISTEN_FDS")) or own_sockets(settings)
    await _serve(await build(settings, dsn), sockets)


async def run_gateway(settings: Settings, dsn: str) -> None:
    """Serve the gateway alone until told to stop; what it does not need is not loaded."""
    from shmastra_cloud.gateway_app import build_gateway

    await _serve(await build_gateway(settings, dsn), own_sockets(settings, ()))


async def _serve(cloud: Cloud, sockets: dict[str, socket.socket]) -> None:
    _without_delay(sockets.values())
    _settle()
    servers = [
        (_server(cloud.apps[name], cloud.protocols.get(name, WebProtocol)), bound)
        for name, bound in sockets.items()
    ]

    def stop() -> None:
        for server, _ in servers:
            server.should_exit = True

    tasks = [asyncio.create_task(work) for work in cloud.background]
    try:
        with _signals(stop):
            await _until_one_ends(tasks, [server.serve([bound]) for server, bound in servers], stop)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await cloud.aclose()


def _settle() -> None:
    """Have the collector leave alone what lives as long as the process, and look at the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _server(app: Asgi, protocol: type[asyncio.Protocol]) -> _Server:
    return _Server(
        uvicorn.Config(
            cast("Any", app),
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )


async def _until_one_ends(
    tasks: list[asyncio.Task[None]], serving: list[Coroutine[Any, Any, None]], stop: Any
) -> None:
    """Wait for the servers; a background task that ends has failed, and ends the process."""
    servers = asyncio.gather(*serving)
    waited: list[asyncio.Future[Any]] = [servers, *tasks]
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    stop()
    await servers
    for task in tasks:
        if task.done():
            task.result()


async def run_worker(settings: Settings, dsn: str) -> None:
    """Move workspaces until told to stop."""
    from shmastra_cloud.database import Notifications, check_master_key, check_schema, open_pool
    from shmastra_cloud.identity import Users
    from shmastra_cloud.provider_list import announced
    from shmastra_cloud.secrets_at_rest import HEARD, Holding, load_vault
    from shmastra_cloud.workspaces import Engine, Reconciler, Workspaces

    vault = load_vault(settings)
    pool = await open_pool(dsn)
    engine = Engine(settings)
    try:
        await check_schema(pool)
        await check_master_key(pool, vault)
        users, store = Users(pool, vault), Workspaces(pool, vault)
        reconciler = Reconciler(
            store,
            engine,
            users.virtual_key,
            settings.gateway_url,
            settings.template,
            further_providers=partial(announced, pool),
        )
        notifications = Notifications(
            dsn,
            {"sandbox": reconciler.wake, HEARD: lambda _: vault.reload()},
            reconciler.wake,
            pulse=Holding(vault),
        )
        work = asyncio.gather(notifications.run(), reconciler.run())
        with _signals(work.cancel), contextlib.suppress(asyncio.CancelledError):
            await work
    finally:
        await engine.aclose()
        await pool.close()


@contextlib.contextmanager
def _signals(stop: Any) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
