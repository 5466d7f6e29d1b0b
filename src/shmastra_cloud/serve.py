"""Runs a web or a worker process: sockets, servers, background tasks, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from httprelay.websocket_server import SocketHttpProtocol
from shmastra_cloud.certificates import Certificate
from shmastra_cloud.ending import End, drain
from shmastra_cloud.listening import UNIX_SOCKETS, sockets_of, unix_socket, without_delay
from shmastra_cloud.notifying import notify
from shmastra_cloud.web_process import GATEWAY

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterator

    from shmastra_cloud.settings import Settings
    from shmastra_cloud.web_process import Asgi, Cloud

log = logging.getLogger(__name__)

LAST_SECONDS = 2
UP_SECONDS = 0.02


class WebProtocol(SocketHttpProtocol):
    """What browsers and sandboxes speak: HTTP, and with the gateway WebSocket."""

    sockets = (GATEWAY.encode(),)


class _Server(uvicorn.Server):
    """One of several servers in a process whose signals are handled once, outside."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


async def run_web(settings: Settings, dsn: str) -> None:
    """Serve browsers, sandboxes and the command line until told to stop.

    Raises:
        CertificateError: the certificate or its key cannot be used.
    """
    from shmastra_cloud.app import build

    await _run(settings, partial(build, settings, dsn), UNIX_SOCKETS)


async def run_gateway(settings: Settings, dsn: str) -> None:
    """Serve the gateway alone until told to stop; what it does not need is not loaded.

    Raises:
        CertificateError: the certificate or its key cannot be used.
    """
    from shmastra_cloud.gateway_app import build_gateway

    await _run(settings, partial(build_gateway, settings, dsn), ())


async def _run(settings: Settings, build: Callable[[], Any], names: tuple[str, ...]) -> None:
    certificate = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        certificate = Certificate(settings.tls_cert, settings.tls_key)
    with sockets_of(settings, os.environ, names) as sockets:
        if settings.web_number is not None:  # where the others ask for its metrics
            sockets["own"] = unix_socket(settings, f"web-{settings.web_number}")
        await _serve(settings, await build(), sockets, certificate)


async def _serve(
    settings: Settings, cloud: Cloud, sockets: dict[str, socket.socket], certificate: Certificate | None
) -> None:
    without_delay(sockets.values())
    _settle()
    servers = {
        name: _server(
            cloud.apps[name],
            cloud.protocols.get(name, WebProtocol),
            certificate.context if certificate is not None and name == "tcp" else None,
        )
        for name in sockets
        if name in cloud.apps
    }
    end = End(settings.drain_notice_seconds, settings.drain_seconds)
    tasks = [asyncio.create_task(work) for work in cloud.background]
    if certificate is not None:
        tasks.append(asyncio.create_task(certificate.watch()))
    serving = [asyncio.create_task(servers[name].serve([sockets[name]])) for name in servers]
    ending = asyncio.create_task(_end_when_told(end, cloud, list(servers.values())))
    telling = asyncio.create_task(_say_when_up(list(servers.values())))
    try:
        with _signals(end.begin, certificate.reload if certificate is not None else None):
            await _until_one_ends(tasks, serving, end, ending)
    finally:
        for task in (*tasks, ending, telling):
            task.cancel()
        await asyncio.gather(*tasks, ending, telling, return_exceptions=True)
        await cloud.aclose()


async def _say_when_up(servers: list[_Server]) -> None:
    while not all(server.started for server in servers):  # noqa: ASYNC110 -- uvicorn has no event for it
        await asyncio.sleep(UP_SECONDS)
    notify("READY=1")


async def _end_when_told(end: End, cloud: Cloud, servers: list[_Server]) -> None:
    await end.begun.wait()
    notify("STOPPING=1")
    try:
        await drain(end, cloud, servers)
    finally:
        for server in servers:
            server.should_exit = True


def _settle() -> None:
    """Have the collector leave alone what lives as long as the process, and look at the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _server(app: Asgi, protocol: type[asyncio.Protocol], tls: ssl.SSLContext | None) -> _Server:
    config = uvicorn.Config(
        cast("Any", app),
        interface="asgi3",  # else uvicorn takes what is no coroutine function for an older one
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=LAST_SECONDS,
    )
    config.load()
    config.ssl = tls
    return _Server(config)


async def _until_one_ends(
    tasks: list[asyncio.Task[None]],
    serving: list[asyncio.Task[None]],
    end: End,
    ending: asyncio.Task[None],
) -> None:
    """Wait for the servers; a background task that ends has failed, and ends the process without waiting."""
    servers = asyncio.gather(*serving)
    waited: list[asyncio.Future[Any]] = [servers, *tasks]
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    end.begin()
    if any(task.done() for task in tasks):
        end.hurried.set()
    await ending
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
    pool = await open_pool(dsn, size=settings.database_connections)
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
            notify("READY=1")
            await work
        notify("STOPPING=1")
    finally:
        await engine.aclose()
        await pool.close()


@contextlib.contextmanager
def _signals(stop: Callable[[], object], reload: Callable[[], None] | None = None) -> Iterator[None]:
    """Have SIGINT and SIGTERM call ``stop``, and SIGHUP ``reload``, which is nothing where there is none."""
    loop = asyncio.get_running_loop()
    calls = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGHUP: reload or _nothing}
    for number, call in calls.items():
        loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        for number in calls:
            loop.remove_signal_handler(number)


def _nothing() -> None:
    return
