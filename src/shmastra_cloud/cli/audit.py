"""``shmastra audit``."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 -- typer reads the annotations
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from shmastra_cloud.cli.ask import ask
from shmastra_cloud.cli.common import Commands, Json  # noqa: TC001 -- typer reads the annotations
from shmastra_cloud.cli.printing import print_json, print_rows

PAGE = 1000
COLUMNS = ["created_at", "actor", "from", "action", "target", "outcome", "detail"]
NOTHING = "Nothing of that kind was done. `shmastra audit` without options shows everything."


def add_to(app: Commands) -> None:
    """Add the command."""
    app.command("audit")(audit_command)


def audit_command(  # noqa: PLR0913 -- one option a condition
    *,
    since: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], metavar="TIME", help="From then on (UTC)."),
    ] = None,
    who: Annotated[
        str | None, typer.Option(metavar="NAME", help="What this admin (an email, or a user here) did.")
    ] = None,
    action: Annotated[
        str | None,
        typer.Option(metavar="ACTION", help="One action, such as user.invite, or a group, such as sandbox."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="NAME", help="What was done to this user or sandbox.")
    ] = None,
    lines: Annotated[int, typer.Option("-n", min=1, max=100_000, help="How many, newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """Show what admins did: who, what, to whom, when and from where; newest first."""
    given = {
        "since": since and f"{since:%Y-%m-%dT%H:%M:%S}Z",
        "who": who,
        "action": action,
        "target": target,
    }
    found = _found({name: value for name, value in given.items() if value}, lines)
    if as_json:
        print_json(found)
    else:
        print_rows([_row(line) for line in found], COLUMNS, as_json=False, empty=NOTHING)


def _found(given: dict[str, str], wanted: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    before: int | None = None
    while len(found) < wanted:
        query = {**given, "limit": str(min(PAGE, wanted - len(found)))}
        if before is not None:
            query["before"] = str(before)
        page = ask("GET", f"/audit?{urlencode(query)}", direct=True)
        found += page["lines"]
        before = page["next"]
        if before is None:
            break
    return found


def _row(line: dict[str, Any]) -> dict[str, Any]:
    told = ", ".join(f"{name} {_word(value)}" for name, value in line["detail"].items())
    token = f" ({line['token']})" if line["token"] else ""
    return {**line, "from": f"{line['origin']}{token}", "detail": told}


def _word(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
