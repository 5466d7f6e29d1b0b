"""The processes of the cloud, and its schema."""

from __future__ import annotations

import asyncio
import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from shmastra_cloud.cli.common import Commands, dsn, here_only, settings

if TYPE_CHECKING:
    from shmastra_cloud.settings import Settings


class Part(StrEnum):
    """What of a web process can be served alone."""

    GATEWAY = "gateway"


def add_to(app: Commands) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(web)
    app.command()(worker)
    app.command("migrate")(migrate_command)


@here_only
def up(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on (SHMASTRA_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (SHMASTRA_PORT).")] = None,
) -> None:
    """Start everything on this machine and watch over it until Ctrl-C."""
    from shmastra_cloud.start_up import plan_up
    from shmastra_cloud.supervisor import SERVICE, account, run_up, settle

    chosen = {"SHMASTRA_HOST": host, "SHMASTRA_PORT": port}
    os.environ.update({name: str(value) for name, value in chosen.items() if value is not None})
    found = settings()

    def tell(text: str) -> None:
        typer.echo(f"shmastra: {text}")

    found = found.model_copy(update={"data": settle(found.data, account(SERVICE), tell)})
    asyncio.run(run_up(plan_up(found, typer.echo), tell))


@here_only
def web(
    *,
    only: Annotated[
        Part | None,
        typer.Option(help="Serve this part alone; the gateway needs DATABASE_URL and nothing else."),
    ] = None,
) -> None:
    """Serve browsers and sandboxes (one process of several)."""
    import uvloop

    found = settings()
    address = dsn(found)
    if found.web_workers > 1 and found.web_number is None:
        _webs(found, only)
        return
    from shmastra_cloud.serve import run_gateway, run_web

    uvloop.run((run_gateway if only is Part.GATEWAY else run_web)(found, address))


def _webs(found: Settings, only: Part | None) -> None:
    """Serve with several processes, which share their sockets."""
    from shmastra_cloud.listening import UNIX_SOCKETS
    from shmastra_cloud.supervisor import run_webs

    words = () if only is None else ("--only", only.value)
    asyncio.run(run_webs(found, words, UNIX_SOCKETS if only is None else ()))


@here_only
def worker() -> None:
    """Move sandboxes to where they should be (one process of several)."""
    from shmastra_cloud.serve import run_worker

    found = settings()
    asyncio.run(run_worker(found, dsn(found)))


@here_only
def migrate_command() -> None:
    """Bring the database's schema up to date (DATABASE_URL)."""
    applied = asyncio.run(_migrate(dsn(settings())))
    typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to do")


async def _migrate(address: str) -> list[str]:
    from shmastra_cloud.database import migrate, open_pool

    pool = await open_pool(address)
    try:
        return await migrate(pool)
    finally:
        await pool.close()
