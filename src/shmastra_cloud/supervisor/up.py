"""Brings the cloud up on one machine, in order, and takes it down in the reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import httpx

from shmastra_cloud.listening import UNIX_SOCKETS
from shmastra_cloud.notifying import notify
from shmastra_cloud.supervisor.children import Child
from shmastra_cloud.supervisor.errors import PortTaken
from shmastra_cloud.supervisor.lock import held
from shmastra_cloud.supervisor.postgres import Postgres, binaries
from shmastra_cloud.supervisor.privileges import DEMO, SERVICE, Account, account, check_readable, own
from shmastra_cloud.supervisor.serving import postgres_child
from shmastra_cloud.supervisor.webs import NOT_PASSED_ON, WebPlan, web_children

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

START_SECONDS = 60
STOP_SECONDS = 3.5
DRAIN_SECONDS = 1.0  # of these, for what is under way; what ends when is the supervisor's to say here
PAUSE_SECONDS = 4.0
# who asks ends before who answers; sandboxes are paused after the first of these
STOP_ORDER = (("web", "worker"), ("demo", "sandboxd"), ("postgres",))


async def _nothing_to_do(_dsn: str, _environ: Mapping[str, str]) -> None:
    return


async def _nothing_to_build() -> None:
    return


def _nothing_to_finish() -> None:
    return


@dataclass(frozen=True)
class UpPlan:
    """What is to be brought up.

    ``finish`` is called first, when nobody else works on the data folder any more.
    ``environ`` is for web, and but for what ``web_only`` names for the worker; others get none of it.
    ``prepare`` is called with the database's address before they start, ``on_ready`` once all answer, and
    ``on_stop``, which is also given that environment, once nobody can ask for a sandbox any more.
    """

    data: Path
    host: str
    port: int
    public_url: str
    environ: Mapping[str, str]
    prepare: Callable[[str], Awaitable[None]]
    on_ready: Callable[[str], Awaitable[None]]
    on_stop: Callable[[str, Mapping[str, str]], Awaitable[None]] = _nothing_to_do
    build: Callable[[], Awaitable[None]] = _nothing_to_build
    finish: Callable[[], None] = _nothing_to_finish
    webs: int = 1
    web_only: frozenset[str] = frozenset()
    database_url: str | None = None
    demo_model: bool = False
    engine: bool = True
    engine_environ: Mapping[str, str] = field(default_factory=dict)


async def run_up(plan: UpPlan, say: Callable[[str], None]) -> None:
    """Bring everything up, wait for SIGINT or SIGTERM, take everything down.

    Raises:
        SupervisorError: something did not come up; what had come up was taken down again.
    """
    say = _whoever_hears(say)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    plan.data.mkdir(parents=True, exist_ok=True)
    with held(plan.data / "run", plan.public_url), contextlib.ExitStack() as sockets:
        started: dict[str, Child] = {}
        coming_up = asyncio.create_task(_bring_up(plan, say, started, sockets))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([coming_up, stopping], return_when=asyncio.FIRST_COMPLETED)
            if coming_up.done():
                coming_up.result()
                notify("READY=1")
                await stopping
        finally:
            for task in (coming_up, stopping):
                task.cancel()
            await asyncio.gather(coming_up, stopping, return_exceptions=True)
            notify("STOPPING=1")
            say("stopping")
            environ = None if coming_up.cancelled() or coming_up.exception() else coming_up.result()
            await _take_down(plan, say, started, environ)


def _whoever_hears(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return a ``say`` that goes on where nobody reads any more, so that the end stays in order."""

    def told(text: str) -> None:
        with contextlib.suppress(OSError):
            say(text)

    return told


async def _take_down(
    plan: UpPlan, say: Callable[[str], None], started: dict[str, Child], environ: Mapping[str, str] | None
) -> None:
    """End everything in order, in 15 s at most; ``environ`` is web's, None where it had not come up."""
    for number, names in enumerate(STOP_ORDER):
        these = [child for name, child in started.items() if name.partition("-")[0] in names]
        await asyncio.gather(*(child.stop(STOP_SECONDS) for child in these))
        if number == 0 and environ is not None:
            try:
                async with asyncio.timeout(PAUSE_SECONDS):
                    await plan.on_stop(environ["DATABASE_URL"], environ)
            except (OSError, TimeoutError, asyncpg.PostgresError) as error:
                say(f"not every sandbox could be paused ({type(error).__name__}); they pause by themselves")


async def _bring_up(
    plan: UpPlan, say: Callable[[str], None], started: dict[str, Child], sockets: contextlib.ExitStack
) -> Mapping[str, str]:
    """Start everything and return web's environment; what can be refused is refused before the long steps."""
    plan.finish()
    service = account(SERVICE)
    _own_folders(plan, service)
    check_readable(service, [Path(sys.executable), Path(__file__), binaries() / "postgres", plan.data])
    bound = _listen(plan, service, sockets)
    if plan.database_url is not None:
        await plan.prepare(plan.database_url)
    await plan.build()
    _own_all(plan.data / "studio", service)
    dsn = plan.database_url
    if dsn is None:
        dsn = await _postgres(plan, service, say, started)
        await plan.prepare(dsn)
    _own_key(plan, service)
    environ = {name: value for name, value in plan.environ.items() if name not in NOT_PASSED_ON}
    environ["DATABASE_URL"] = dsn
    if plan.engine:
        environ |= await _engine(plan, say, started)
    if plan.demo_model:
        environ["SHMASTRA_DEMO_SOCKET"] = await _demo(plan, service, say, started)
    say("starting web and worker")
    web = environ | {"SHMASTRA_DRAIN_SECONDS": str(DRAIN_SECONDS), "SHMASTRA_DRAIN_NOTICE_SECONDS": "0"}
    webs = WebPlan(plan.data / "run", plan.webs, bound, web, (), plan.data / "logs", service)
    await asyncio.gather(*(_start(started, child) for child in web_children(webs)))
    worker = [sys.executable, "-m", "shmastra_cloud", "worker"]
    poorer = {name: value for name, value in environ.items() if name not in plan.web_only}
    await _start(started, Child("worker", worker, poorer, plan.data / "logs", _at_once, service))
    await plan.on_ready(dsn)
    return environ


def _own_folders(plan: UpPlan, service: Account | None) -> None:
    """Root keeps the engine's folder; the rest is the service user's."""
    own(plan.data, service, 0o711)
    for name in ("run", "logs", "studio"):
        own(plan.data / name, service, 0o711 if name == "run" else 0o700)


def _own_all(folder: Path, service: Account | None) -> None:
    for path in folder.rglob("*"):
        if service is not None:
            os.chown(path, service.uid, service.gid)


def _own_key(plan: UpPlan, service: Account | None) -> None:
    """Give the master key, which the preparation may have made as root, to those who open secrets with it."""
    path = plan.data / "master.key"
    if path.exists() and service is not None:
        os.chown(path, service.uid, service.gid)


def _listen(plan: UpPlan, service: Account | None, sockets: contextlib.ExitStack) -> dict[str, socket.socket]:
    """Bind what web listens on here, so that it can be started again without refusing anybody."""
    tcp = sockets.enter_context(socket.socket(socket.AF_INET6 if ":" in plan.host else socket.AF_INET))
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        tcp.bind((plan.host, plan.port))
    except OSError as error:
        raise PortTaken(
            f"Port {plan.port} of {plan.host} cannot be used ({error.strerror}). "
            'Choose another: make up ARGS="--port 3100".'
        ) from error
    tcp.listen(1024)
    found = {"tcp": tcp}
    for name in UNIX_SOCKETS:
        path = plan.data / "run" / f"{name}.sock"
        path.unlink(missing_ok=True)
        bound = found[name] = sockets.enter_context(socket.socket(socket.AF_UNIX))
        bound.bind(str(path))
        path.chmod(0o600)
        if service is not None:
            os.chown(path, service.uid, service.gid)
        bound.listen(256)
    return found


async def _postgres(
    plan: UpPlan, service: Account | None, say: Callable[[str], None], started: dict[str, Child]
) -> str:
    postgres = Postgres(plan.data, service)
    if not postgres.cluster.exists():
        say("making the database")
    await asyncio.to_thread(postgres.prepare)
    await _start(started, postgres_child(postgres, plan.data / "logs"))
    return postgres.dsn


async def _engine(plan: UpPlan, say: Callable[[str], None], started: dict[str, Child]) -> dict[str, str]:
    say("starting the sandbox engine")
    folder = own(plan.data / "engine", None, 0o711)
    key, port = (
        _kept(folder / "api-key", lambda: f"e2b_{secrets.token_hex(20)}"),
        _kept(folder / "port", _free_port),
    )
    url = f"http://127.0.0.1:{port}"
    argv = [sys.executable, "-m", "sandboxd", "serve", "--listen", f"127.0.0.1:{port}", "--data", str(folder)]
    argv += ["--gateway-socket", str(plan.data / "run" / "sandbox.sock")]
    environ = {**plan.engine_environ, "PATH": os.environ.get("PATH", ""), "SANDBOXD_API_KEY": key}
    await _start(
        started, Child("sandboxd", argv, environ, plan.data / "logs", lambda: _answers(f"{url}/health"))
    )
    return {"SHMASTRA_ENGINE_URL": url, "SHMASTRA_ENGINE_KEY": key}


async def _demo(
    plan: UpPlan, service: Account | None, say: Callable[[str], None], started: dict[str, Child]
) -> str:
    say("starting the demo model (no provider key is set)")
    who = account(DEMO)
    folder = own(plan.data / "run" / "demo", who, 0o710)
    if who is not None and service is not None:
        os.chown(folder, who.uid, service.gid)
    path = folder / "demo.sock"
    argv = [sys.executable, "-m", "shmastra_cloud.supervisor.demo_model", str(path)]
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    child = Child(
        "demo",
        argv,
        environ,
        plan.data / "logs",
        lambda: _answers("http://demo/health", path),
        who,
        no_network=True,
    )
    await _start(started, child)
    return str(path)


async def _start(started: dict[str, Child], child: Child) -> None:
    started[child.name] = child
    await child.start(START_SECONDS)


def _kept(path: Path, make: Callable[[], str]) -> str:
    """Return what the file holds, made once."""
    if not path.exists():
        scratch = path.with_suffix(".new")
        scratch.touch(mode=0o600)
        scratch.write_text(make())
        scratch.replace(path)
    return path.read_text().strip()


def _free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


async def _answers(url: str, path: Path | None = None) -> bool:
    transport = httpx.AsyncHTTPTransport(uds=None if path is None else str(path))
    async with httpx.AsyncClient(transport=transport, timeout=2) as client:
        try:
            return (await client.get(url)).status_code == 200
        except httpx.HTTPError:
            return False


async def _at_once() -> bool:
    return True
