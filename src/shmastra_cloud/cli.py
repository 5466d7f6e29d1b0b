"""``shmastra ...``: parses, calls, prints.

Exit status 0 done, 1 failed (the reason on stderr), 2 wrong usage.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path  # noqa: TC003 -- typer reads the annotations
from typing import Annotated, Any

import httpx
import typer
from pydantic import ValidationError

from shmastra_cloud.database import DatabaseError, migrate, open_pool
from shmastra_cloud.secrets_at_rest import MasterKeyError
from shmastra_cloud.settings import Settings, load_settings
from shmastra_cloud.studio import StudioError
from shmastra_cloud.supervisor import SupervisorError
from shmastra_cloud.templates import TemplateError

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="A team's own cloud of AI agents."
)
user = typer.Typer(no_args_is_help=True, help="Invite users, let them in and shut them out.")
sandbox = typer.Typer(no_args_is_help=True, help="See and mend sandboxes.")
key = typer.Typer(no_args_is_help=True, help="Virtual keys.")
template = typer.Typer(no_args_is_help=True, help="What sandboxes start from.")
app.add_typer(template, name="template")
app.add_typer(user, name="user")
app.add_typer(sandbox, name="sandbox")
app.add_typer(key, name="key")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ADMIN_SECONDS = 30


class Failed(Exception):  # the reason is the message
    """A command that did not do what it was asked."""


@app.callback()
def choose(data: Annotated[Path | None, typer.Option(help="Which installation is meant.")] = None) -> None:
    """Set which installation the commands speak to."""
    if data is not None:
        os.environ["SHMASTRA_DATA"] = str(data)


@app.command()
def up(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that holds everything.")] = None,
) -> None:
    """Start everything on this machine and watch over it until Ctrl-C."""
    from shmastra_cloud.start_up import plan_up
    from shmastra_cloud.supervisor import run_up

    chosen = {"SHMASTRA_HOST": host, "SHMASTRA_PORT": port, "SHMASTRA_DATA": data}
    os.environ.update({name: str(value) for name, value in chosen.items() if value is not None})
    settings = _settings()
    asyncio.run(run_up(plan_up(settings, typer.echo), lambda text: typer.echo(f"shmastra: {text}")))


@app.command()
def web() -> None:
    """Serve browsers and sandboxes (one process of several)."""
    import uvloop

    from shmastra_cloud.serve import run_web

    settings = _settings()
    uvloop.run(run_web(settings, _dsn(settings)))


@app.command()
def worker() -> None:
    """Move sandboxes to where they should be (one process of several)."""
    from shmastra_cloud.serve import run_worker

    settings = _settings()
    asyncio.run(run_worker(settings, _dsn(settings)))


@app.command("migrate")
def migrate_command() -> None:
    """Bring the database's schema up to date."""
    dsn = _dsn(_settings())

    async def work() -> list[str]:
        pool = await open_pool(dsn)
        try:
            return await migrate(pool)
        finally:
            await pool.close()

    applied = asyncio.run(work())
    typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to do")


@user.command("invite")
def user_invite(email: str, *, admin: bool = False, as_json: Json = False) -> None:
    """Invite a user and print his one-time link."""
    _print_link(_ask("POST", "/users", {"email": email, "admin": admin}), as_json=as_json)


@user.command("link")
def user_link(email: str, *, as_json: Json = False) -> None:
    """Print a new one-time link for a user."""
    _print_link(_ask("POST", f"/users/{email}/link"), as_json=as_json)


@user.command("list")
def user_list(*, as_json: Json = False) -> None:
    """List users."""
    _print_rows(_ask("GET", "/users"), ["email", "role", "disabled_at", "created_at"], as_json=as_json)


@user.command("disable")
def user_disable(email: str) -> None:
    """Shut a user out; his files are kept."""
    _ask("POST", f"/users/{email}/disable")


@user.command("enable")
def user_enable(email: str) -> None:
    """Let a user in again."""
    _ask("POST", f"/users/{email}/enable")


@key.command("rotate")
def key_rotate(email: str) -> None:
    """Replace a user's virtual key; the old one is refused at once."""
    _ask("POST", f"/users/{email}/rotate-key")


@app.command()
def usage(*, by: str = "user", as_json: Json = False) -> None:
    """Show what was used, by user, model or day."""
    rows = _ask("GET", f"/usage?by={by}")
    _print_rows(rows, [by, "requests", "input_tokens", "output_tokens", "cost_usd"], as_json=as_json)


@sandbox.command("list")
def sandbox_list(*, as_json: Json = False) -> None:
    """List sandboxes."""
    columns = ["email", "sandbox_id", "status", "awake_because", "last_active_at", "error"]
    _print_rows(_ask("GET", "/sandboxes"), columns, as_json=as_json)


@sandbox.command("show")
def sandbox_show(sandbox_id: Annotated[str, typer.Argument(metavar="ID")], *, as_json: Json = False) -> None:
    """Show one sandbox and its latest changes."""
    found = _ask("GET", f"/sandboxes/{sandbox_id}")
    if as_json:
        typer.echo(json.dumps(found))
        return
    for name, value in found.items():
        if name != "events":
            typer.echo(f"{name}: {value}")
    _print_rows(found["events"], ["created_at", "actor", "from_status", "to_status", "reason"], as_json=False)


@sandbox.command("restart")
def sandbox_restart(sandbox_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Start a sandbox's dev server anew; files stay."""
    _ask("POST", f"/sandboxes/{sandbox_id}/restart")


@template.command("build")
def template_build() -> None:
    """Build the sandbox template and fetch Studio, where they are missing or older than this source."""
    from shmastra_cloud.start_up import ensure_template

    ensure_template(_settings().data.resolve(), typer.echo)


def _settings() -> Settings:
    try:
        return load_settings()
    except ValidationError as error:
        first = error.errors()[0]
        raise Failed(f"{first['loc'][0]}: {first['msg']}.") from error


def _dsn(settings: Settings) -> str:
    if settings.database_url is None:
        raise Failed("DATABASE_URL is not set. `shmastra up` starts a database of its own.")
    return settings.database_url.get_secret_value()


def _ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    socket = _settings().run / "admin.sock"
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=ADMIN_SECONDS) as client:
            answer = client.request(method, f"http://admin{path}", json=body)
    except httpx.HTTPError as error:
        raise Failed(f"No cloud answers at {socket}. Is it running? `shmastra up` starts it.") from error
    if answer.is_error:
        raise Failed(_reason(answer))
    return answer.json()


def _reason(answer: httpx.Response) -> str:
    try:
        said = answer.json()
    except ValueError:
        return f"The cloud answered {answer.status_code}."
    return str(said.get("error") or said.get("detail"))


def _print_link(link: dict[str, str], *, as_json: bool) -> None:
    typer.echo(json.dumps(link) if as_json else f"{link['url']}\n(once, until {link['expires_at']})")


def _print_rows(rows: list[dict[str, Any]], columns: list[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(rows))
        return
    if not rows:
        typer.echo("none yet")
        return
    table = [
        columns,
        *[[str(row[name] if row[name] is not None else "-") for name in columns] for row in rows],
    ]
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    for line in table:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        app()
    except (
        Failed,
        DatabaseError,
        MasterKeyError,
        StudioError,
        SupervisorError,
        TemplateError,
        OSError,
    ) as error:
        sys.stderr.write(f"shmastra: {error}\n")
        sys.exit(1)
