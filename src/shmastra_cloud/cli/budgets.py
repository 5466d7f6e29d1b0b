"""``shmastra key budget``."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from shmastra_cloud.cli.ask import ask, named
from shmastra_cloud.cli.common import Commands, Json  # noqa: TC001 -- typer reads the annotations
from shmastra_cloud.cli.printing import print_json, print_rows

WORDS = ("none", "default")
NOTHING_SET = "No limit applies. `--usd-per-month 20`, for one, sets a budget."
_COLUMNS = ["limit", "set", "applies", "used", "reserved", "remaining", "resets_at"]


def _option(name: str, about: str) -> Any:
    return typer.Option(name, metavar="X", help=f"{about}; `none` or `default` in place of a number.")


def add_to(key: Commands) -> None:
    """Add the command to the group of keys."""
    key.command("budget")(budget)


def budget(  # noqa: PLR0913 -- one option a limit
    email: Annotated[str | None, typer.Argument(metavar="[EMAIL]", help="The user's email.")] = None,
    *,
    organization: Annotated[
        bool, typer.Option("--organization", help="Mean the organization: what all users use together.")
    ] = False,
    default: Annotated[
        bool, typer.Option("--default", help="Mean each user who has no limit of his own.")
    ] = False,
    usd_per_day: Annotated[str | None, _option("--usd-per-day", "USD in a day (UTC)")] = None,
    usd_per_month: Annotated[str | None, _option("--usd-per-month", "USD in a month (UTC)")] = None,
    requests_per_minute: Annotated[str | None, _option("--requests-per-minute", "Calls in a minute")] = None,
    tokens_per_minute: Annotated[str | None, _option("--tokens-per-minute", "Tokens in a minute")] = None,
    streams: Annotated[str | None, _option("--streams", "Streamed answers at once")] = None,
    none: Annotated[bool, typer.Option("--none", help="Take away all limits that were set.")] = False,
    as_json: Json = False,
) -> None:
    """Show or set what a user, the organization or everyone may use; running processes hear of it at once."""
    chosen = [name for name, given in (("organization", organization), ("default", default)) if given]
    whose = ([email] if email else []) + chosen
    if len(whose) != 1:
        raise typer.BadParameter("Name a user's email, or --organization, or --default: one of them.")
    given = {
        "usd_per_day": usd_per_day,
        "usd_per_month": usd_per_month,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "streams": streams,
    }
    change: dict[str, Any] = dict.fromkeys(given, "default") if none else {}
    change |= {name: _value(name, text) for name, text in given.items() if text is not None}
    path = named("budgets", whose[0])
    found = ask("PUT", path, change, direct=True) if change else ask("GET", path, direct=True)
    if as_json:
        print_json(found)
    else:
        print_rows(_rows(found), _COLUMNS, as_json=False, empty=NOTHING_SET)


def _value(name: str, text: str) -> str | float | int:
    """Return an option's value for the cloud.

    Raises:
        typer.BadParameter: it is neither a number nor one of the words.
    """
    if text in WORDS:
        return text
    try:
        number = Decimal(text)
        whole = None if name.startswith("usd") else int(text)
    except (InvalidOperation, ValueError):
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise typer.BadParameter(f"--{name.replace('_', '-')} takes a number, `none` or `default`.")
    return str(number) if whole is None else whole


def _rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, value in found["limits"].items():
        now = found["budget"].get(name, {})
        if value == "default" and not now:
            continue
        rows.append(
            {
                "limit": name.replace("_", " "),
                "set": value,
                "applies": now.get("limit"),
                "used": now.get("spent", now.get("used")),
                "reserved": now.get("reserved"),
                "remaining": now.get("remaining"),
                "resets_at": now.get("resets_at"),
            }
        )
    return rows
