"""``sandboxd ...``: parses, calls, prints."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import uvicorn

from httprelay import BoundedHttpProtocol
from httprelay.plain_logs import configure
from sandboxd import address, client, commands, lock
from sandboxd.base_template import build_base
from sandboxd.doctor import examine
from sandboxd.engine import Engine
from sandboxd.errors import EngineError
from sandboxd.server import Server
from sandboxd.spec import Limits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="The one-machine sandbox engine."
)

DEFAULT_EGRESS = "registry.npmjs.org,pypi.org,files.pythonhosted.org,github.com,*.githubusercontent.com"
BACKLOG = 1024
DATA = Path("data/engine")
Data = Annotated[Path, typer.Option(help="Folder of templates and sandboxes.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


class _Quiet(uvicorn.Server):
    """Ends what would keep clients connected before it waits for them; signals are handled elsewhere."""

    def __init__(self, config: uvicorn.Config, leave: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._leave = leave

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._leave()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 -- uvicorn's own
        yield


@app.callback()
def _about() -> None:
    """Serve the E2B API from this machine."""


@app.command()
def serve(
    listen: Annotated[str, typer.Option(help="HOST:PORT")] = "127.0.0.1:4990",
    data: Data = DATA,
    gateway_socket: Annotated[
        Path | None, typer.Option(help="Where a sandbox's 127.0.0.1:4000 leads.")
    ] = None,
    egress_allow: Annotated[str, typer.Option(help="Hosts that sandboxes may reach.")] = DEFAULT_EGRESS,
    domain: Annotated[
        str | None, typer.Option(help="Told to clients: ports are at PORT-ID.DOMAIN, this API at api.DOMAIN.")
    ] = None,
) -> None:
    """Serve until told to stop; sandboxes go on running."""
    if os.geteuid() != 0:
        raise EngineError("sandboxd needs root: it mounts file systems and starts containers.")
    configure()
    host, _, port = listen.rpartition(":")
    if not port.isdigit():
        raise typer.BadParameter("--listen takes HOST:PORT")
    hosts = [name.strip() for name in egress_allow.split(",") if name.strip()]
    data = data.resolve()
    commands.inherited.append(lock.take(data))
    bound = _bind(host.strip("[]") or "127.0.0.1", int(port))
    build_base(data / "templates", typer.echo)
    engine = Engine(data, gateway=gateway_socket, egress=hosts, limits=limits_from_env(), domain=domain)
    address.write(data, bound.getsockname())
    asyncio.run(_serve(engine, bound, _api_key(data)))


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small pieces at once only on a socket that says that it is TCP
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise EngineError(
            f"{host}:{port} cannot be listened on ({error.strerror}); choose another with --listen."
        ) from error
    return bound


@app.command("list")
def list_(*, data: Data = DATA, as_json: Json = False) -> None:
    """Show the sandboxes."""
    found = client.Client.of(data).sandboxes()
    if as_json:
        typer.echo(json.dumps(found))
    elif not found:
        typer.echo("There are no sandboxes. `Sandbox.create()` of the e2b SDK makes one.")
    else:
        for one in found:
            typer.echo(f"{one['sandboxID']}  {one['state']:8} {one['templateID']:16} ends {one['endAt']}")


@app.command(context_settings={"ignore_unknown_options": True})
def exec(sandbox_id: str, command: list[str], data: Data = DATA) -> None:  # noqa: A001 -- its name
    """Run a program in a sandbox, which is resumed for it; returns the program's status."""
    sys.exit(client.Client.of(data).execute(sandbox_id, command))


@app.command()
def logs(sandbox_id: str, *, data: Data = DATA, as_json: Json = False) -> None:
    """Show what a sandbox's start and first process said."""
    found = client.Client.of(data).logs(sandbox_id)
    if as_json:
        typer.echo(json.dumps(found))
    elif not found:
        typer.echo("It said nothing, as one does that started well.", err=True)
    else:
        typer.echo("\n".join(one["line"] for one in found))


@app.command()
def kill(
    sandbox_id: str,
    *,
    data: Data = DATA,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """End a sandbox and delete its files."""
    daemon = client.Client.of(data)
    if not yes:
        typer.confirm(f"Delete sandbox {sandbox_id} with all its files?", abort=True)
    daemon.kill(sandbox_id)
    typer.echo(f"{sandbox_id} is deleted.")


@app.command()
def doctor(*, data: Data = DATA, as_json: Json = False) -> None:
    """Check what this machine needs to run sandboxes."""
    found = examine(data.resolve())
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in found]))
    else:
        for check in found:
            typer.echo(f"{check.status:7} {check.name:14} {check.detail}")
            if check.fix:
                typer.echo(f"{'':22} {check.fix}")
    if any(check.status == "failed" for check in found):
        sys.exit(1)


def limits_from_env() -> Limits:
    """Return the limits that ``SHMASTRA_SANDBOX_...`` sets."""
    given = {
        "memory_mb": os.environ.get("SHMASTRA_SANDBOX_MEMORY_MB"),
        "disk_mb": os.environ.get("SHMASTRA_SANDBOX_DISK_MB"),
        "pids": os.environ.get("SHMASTRA_SANDBOX_PIDS"),
    }
    numbers = {name: int(value) for name, value in given.items() if value}
    return Limits(**numbers, cpus=float(os.environ.get("SHMASTRA_SANDBOX_CPUS") or 2))


async def _serve(engine: Engine, bound: socket.socket, api_key: str) -> None:
    await engine.open()
    application = Server(engine, api_key)
    config = uvicorn.Config(
        application,
        http=BoundedHttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=3,
    )
    server = _Quiet(config, engine.leave)

    def stop(*_ended: object) -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    clock = asyncio.create_task(engine.keep_time())
    clock.add_done_callback(stop)
    typer.echo(f"sandboxd: serving at {address.url(bound.getsockname())}")
    try:
        await server.serve(sockets=[bound])
        if clock.done():
            clock.result()
    finally:
        clock.cancel()
        await asyncio.gather(clock, return_exceptions=True)
        await application.aclose()
        await engine.aclose()


def _api_key(data: Path) -> str:
    given = os.environ.get("SANDBOXD_API_KEY")
    if given:
        return given
    path = data / "api-key"
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(f"e2b_{secrets.token_hex(20)}\n")
        typer.echo(f"sandboxd: made an API key, kept in {path}")
    return path.read_text().strip()


def main() -> None:
    """Run the command line."""
    try:
        app()
    except (EngineError, OSError) as error:
        sys.stderr.write(f"sandboxd: {error}\n")
        sys.exit(1)
