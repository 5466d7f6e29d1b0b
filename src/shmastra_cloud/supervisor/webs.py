"""Several web processes on the same listening sockets: started, watched, replaced, ended together."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from shmastra_cloud.certificates import context_of
from shmastra_cloud.listening import listen, sockets_of
from shmastra_cloud.notifying import notify
from shmastra_cloud.supervisor.children import Child

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from pathlib import Path

    from shmastra_cloud.settings import Settings
    from shmastra_cloud.supervisor.privileges import Account

START_SECONDS = 60
LAST_SECONDS = 5
# systemd's word to this process, and folders of secrets, which it has read: not all is for every child
NOT_PASSED_ON = frozenset(
    (
        "NOTIFY_SOCKET",
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "SHMASTRA_SECRETS",
        "CREDENTIALS_DIRECTORY",
    )
)


@dataclass(frozen=True)
class WebPlan:
    """What several web processes share; ``logs`` is None where each writes to where this process does."""

    run: Path
    count: int
    sockets: Mapping[str, socket.socket]
    environ: Mapping[str, str]
    words: tuple[str, ...] = ()
    logs: Path | None = None
    account: Account | None = None


def web_children(plan: WebPlan) -> list[Child]:
    """Return the processes, each of which tells on a socket of its own that it is up."""
    return [_child(plan, number) for number in range(1, plan.count + 1)]


def _child(plan: WebPlan, number: int) -> Child:
    numbers = {name: found.fileno() for name, found in plan.sockets.items()}
    passed_on = {
        "SHMASTRA_LISTEN_FDS": ",".join(f"{name}={fd}" for name, fd in numbers.items()),
        "SHMASTRA_WEB_NUMBER": str(number),
        "SHMASTRA_WEB_WORKERS": str(plan.count),
    }
    own = plan.run / f"web-{number}.sock"
    return Child(
        "web" if plan.count == 1 else f"web-{number}",
        [sys.executable, "-m", "shmastra_cloud", "web", *plan.words],
        {**plan.environ, **passed_on},
        plan.logs,
        lambda: is_up(own),
        plan.account,
        tuple(numbers.values()),
    )


async def is_up(path: Path) -> bool:
    """Tell whether the process with that socket answers."""
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path)), timeout=2) as client:
        try:
            return (await client.get("http://web/health")).status_code == 200
        except httpx.HTTPError:
            return False


async def run_webs(settings: Settings, words: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Serve with several processes until told to stop; ``words`` go to each, ``names`` are its unix sockets.

    Raises:
        CertificateError: the certificate or its key cannot be used.
        ChildFailed: one of them did not come up.
        SocketsTaken: another process serves this data folder on this machine.
        OSError: the port is taken, or the folder cannot be written.
    """
    stop = asyncio.Event()
    if settings.tls_cert is not None and settings.tls_key is not None:
        context_of(settings.tls_cert, settings.tls_key)  # refused here, once
    with sockets_of(settings, os.environ, names) as sockets:
        settings.run.mkdir(parents=True, exist_ok=True)
        listen(sockets.values())
        kept = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
        plan = WebPlan(settings.run, settings.web_workers, sockets, kept, words)
        children = web_children(plan)
        _take_signals(stop, children)
        starting = asyncio.gather(*(child.start(START_SECONDS) for child in children))
        try:
            await _first(starting, stop)
            if not stop.is_set():
                notify("READY=1")
            await stop.wait()
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            notify("STOPPING=1")
            seconds = settings.drain_notice_seconds + settings.drain_seconds + LAST_SECONDS
            await asyncio.gather(*(child.stop(seconds) for child in children))


def _take_signals(stop: asyncio.Event, children: list[Child]) -> None:
    """SIGTERM ends all, a second one at once; SIGHUP has each read its certificate again."""
    loop = asyncio.get_running_loop()

    def told(number: signal.Signals) -> None:
        if number is signal.SIGHUP or stop.is_set():
            for child in children:
                child.tell(number)
        else:
            stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, told, number)


async def _first(starting: asyncio.Future[list[None]], stop: asyncio.Event) -> None:
    """Wait until all are up, or this process is told to stop.

    Raises:
        ChildFailed: one of them did not come up.
    """
    stopping = asyncio.create_task(stop.wait())
    try:
        waited: list[asyncio.Future[Any]] = [starting, stopping]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
    finally:
        stopping.cancel()
