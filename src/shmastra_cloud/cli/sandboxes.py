"""``shmastra sandbox``: see, pause, resume, restart, reset and delete."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from shmastra_cloud.cli.ask import SLOW_SECONDS, ask, named
from shmastra_cloud.cli.common import Json, Sandbox, Yes, confirm, group
from shmastra_cloud.cli.printing import print_fields, print_json, print_rows

sandbox = group("See and mend sandboxes. ID is a sandbox's id or its user's email.")

NONE_YET = "No sandboxes yet. Each user gets one when he first signs in: `shmastra user invite EMAIL`."
COLUMNS = ["email", "sandbox_id", "status", "awake_because", "last_active_at", "error"]
EVENT_COLUMNS = ["created_at", "actor", "from_status", "to_status", "reason"]


@sandbox.command("list")
def sandbox_list(*, as_json: Json = False) -> None:
    """List sandboxes."""
    print_rows(ask("GET", "/sandboxes"), COLUMNS, as_json=as_json, empty=NONE_YET)


@sandbox.command("show")
def sandbox_show(name: Sandbox, *, as_json: Json = False) -> None:
    """Show one sandbox and its latest changes."""
    found = ask("GET", named("sandboxes", name))
    if as_json:
        print_json(found)
        return
    print_fields({field: value for field, value in found.items() if field != "events"})
    typer.echo("")
    print_rows(found["events"], EVENT_COLUMNS, as_json=False, empty="Nothing has happened yet.")


@sandbox.command("events")
def sandbox_events(
    name: Sandbox,
    *,
    lines: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """Show who changed a sandbox's status, when and why."""
    rows = ask("GET", named("sandboxes", name, "events") + f"?limit={lines}")
    print_rows(rows, EVENT_COLUMNS, as_json=as_json, empty="Nothing has happened yet.")


@sandbox.command("resume")
def sandbox_resume(name: Sandbox) -> None:
    """Bring a paused sandbox back."""
    typer.echo(_change(name, "resume")["status"])


@sandbox.command("pause")
def sandbox_pause(name: Sandbox) -> None:
    """Suspend a ready sandbox until somebody uses it again; files and memory stay."""
    typer.echo(_change(name, "pause")["status"])


@sandbox.command("restart")
def sandbox_restart(name: Sandbox) -> None:
    """Start a sandbox's dev server anew; files stay."""
    typer.echo(_change(name, "restart")["status"])


@sandbox.command("reset")
def sandbox_reset(name: Sandbox, *, yes: Yes = False) -> None:
    """Begin again with an empty sandbox: all files in it are lost."""
    confirm(f"Destroy all files in the sandbox of {name} and begin again?", yes=yes)
    typer.echo(_change(name, "reset")["status"])


@sandbox.command("delete")
def sandbox_delete(name: Sandbox, *, yes: Yes = False) -> None:
    """Destroy a sandbox with all files; the user's next sign-in begins afresh."""
    confirm(f"Destroy the sandbox of {name} with all its files?", yes=yes)
    typer.echo(_change(name, "delete")["status"])


def _change(name: str, what: str) -> Any:
    return ask("POST", named("sandboxes", name, what), seconds=SLOW_SECONDS)
