"""``shmastra doctor``: how everything is that the cloud depends on, and what to do about it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from shmastra_cloud.cli.ask import ORIGIN, ask, client, socket
from shmastra_cloud.cli.common import Commands, Json, elsewhere, settings
from shmastra_cloud.cli.printing import plain, print_json

if TYPE_CHECKING:
    from shmastra_cloud.settings import Settings

SECONDS = 30
MARKS = {"ok": "ok", "warning": "!!", "failed": "XX"}


def add_to(app: Commands) -> None:
    """Add the command."""
    app.command("doctor")(doctor_command)


def doctor_command(
    *,
    keys: Annotated[
        bool, typer.Option("--keys", help="Ask each provider whether it takes its keys.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look at everything the cloud depends on, running or stopped; starts and changes nothing."""
    checks = diagnose(settings(), keys=keys)
    if as_json:
        print_json(checks)
    else:
        _print(checks)
    if any(check["status"] == "failed" for check in checks):
        raise typer.Exit(1)


def diagnose(found: Settings, *, keys: bool = False) -> list[dict[str, str]]:
    """Return every check, each as ``{"name", "status", "detail", "fix"}``, with ``keys`` those of keys.

    Of a cloud elsewhere, its own are returned.
    """
    if elsewhere() is not None:
        return list(ask("GET", "/doctor"))
    from shmastra_cloud.doctor import Check, check_files, check_machine, check_stopped, provider_keys

    local = [*check_machine(found), *check_files(found)]
    closed = _closed(found)
    running = None if closed else _ask(found, keys=keys)
    if running is not None:
        cloud = [Check("cloud", "ok", f"answers at {socket(found)}")]
    elif closed:
        cloud = [
            Check(name, "warning", f"{socket(found)} is closed to this user", "Run this as root.")
            for name in ("cloud", "database", "sandboxes", "providers")
        ]
    else:
        detail = f"no cloud runs here (nothing answers at {socket(found)})"
        cloud = [Check("cloud", "warning", detail, "shmastra up (or make up)")]
        cloud += asyncio.run(check_stopped(found))
        cloud += asyncio.run(provider_keys(os.environ)) if keys else []
    return [*(check.as_json() for check in [*local, *cloud]), *(running or [])]


def _ask(found: Settings, *, keys: bool) -> list[dict[str, str]] | None:
    import httpx

    try:
        with client(found, SECONDS) as http:
            answer = http.get(f"{ORIGIN}/doctor", params={"keys": keys})
    except httpx.HTTPError:
        return None
    return list(answer.json()) if answer.status_code == 200 else None


def _closed(found: Settings) -> bool:
    try:
        return socket(found).exists() and not os.access(socket(found), os.W_OK)
    except PermissionError:
        return True


def _print(checks: list[dict[str, str]]) -> None:
    width = max(len(check["name"]) for check in checks)
    for check in checks:
        typer.echo(f"{MARKS[check['status']]}  {check['name']:<{width}}  {plain(check['detail'])}")
        if check["fix"]:
            typer.echo(f"    {'':<{width}}  -> {check['fix']}")
