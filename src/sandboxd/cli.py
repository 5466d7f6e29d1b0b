"""``sandboxd ...``: parses, calls, prints."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from httprelay import BoundedHttpProtocol
from sandboxd.engine import Engine
from sandboxd.errors import EngineError
from sandboxd.server import Server
from sandboxd.spec import Limits

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="The one-machine sandbox engine."
)

DEFAULT_EGRESS = "registry.npmjs.org,pypi.org,files.pythonhosted.org,github.com,*.githubusercontent.com"
Data = Annotated[Path, typer.Option(help="Folder of templates and sandboxes.")]


class _Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 -- uvicorn's own
        yield


@app.callback()
def _about() -> None:
    """Serve the E2B API from this machine."""


@app.command()
def serve(
    listen: Annotated[str, typer.Option(help="HOST:PORT")] = "127.0.0.1:4990",
    data: Data = Path("data/engine"),
    gateway_socket: Annotated[
        Path | None, typer.Option(help="Where a sandbox's 127.0.0.1:4000 leads.")
    ] = None,
    egress_allow: Annotated[str, typer.Option(help="Hosts that sandboxes may reach.")] = DEFAULT_EGRESS,
) -> None:
    """Serve until told to stop; sandboxes go on running."""
    if os.geteuid() != 0:
        raise EngineError("sandboxd needs root: it mounts file systems and starts containers.")
    host, _, port = listen.rpartition(":")
    if not port.isdigit():
        raise typer.BadParameter("--listen takes HOST:PORT")
    hosts = [name.strip() for name in egress_allow.split(",") if name.strip()]
    data = data.resolve()
    engine = Engine(data, gateway=gateway_socket, egress=hosts, limits=limits_from_env())
    asyncio.run(_serve(engine, host or "127.0.0.1", int(port), _api_key(data)))


def limits_from_env() -> Limits:
    """Return the limits that ``SHMASTRA_SANDBOX_...`` sets."""
    given = {
        "memory_mb": os.environ.get("SHMASTRA_SANDBOX_MEMORY_MB"),
        "disk_mb": os.environ.get("SHMASTRA_SANDBOX_DISK_MB"),
        "pids": os.environ.get("SHMASTRA_SANDBOX_PIDS"),
    }
    numbers = {name: int(value) for name, value in given.items() if value}
    return Limits(**numbers, cpus=float(os.environ.get("SHMASTRA_SANDBOX_CPUS") or 2))


async def _serve(engine: Engine, host: str, port: int, api_key: str) -> None:
    await engine.open()
    application = Server(engine, api_key)
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        http=BoundedHttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=3,
    )
    server = _Quiet(config)

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    clock = asyncio.create_task(engine.keep_time())
    try:
        await server.serve()
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
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        app()
    except (EngineError, OSError) as error:
        sys.stderr.write(f"sandboxd: {error}\n")
        sys.exit(1)
