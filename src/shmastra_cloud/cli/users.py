"""``shmastra user``, ``key`` and ``usage``."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 -- typer reads the annotations
from enum import StrEnum
from typing import Annotated, Any

import typer

from shmastra_cloud.cli import budgets, master_key
from shmastra_cloud.cli.ask import SLOW_SECONDS, ask, named
from shmastra_cloud.cli.common import Commands, Email, Json, Yes, confirm, group
from shmastra_cloud.cli.printing import plain, print_json, print_rows

user = group("Invite users, let them in and shut them out.")
key = group("Virtual keys: what a user's sandbox pays with.")

NOBODY = "No users yet. `shmastra user invite EMAIL` invites one."
NOTHING_USED = "Nothing was used yet. Each call of a model through the gateway is counted here."


NoMail = Annotated[bool, typer.Option("--no-mail", help="Print only; send no mail.")]


class By(StrEnum):
    """What usage can be summed up by."""

    USER = "user"
    MODEL = "model"
    DAY = "day"


class RoleName(StrEnum):
    """What a user can be."""

    MEMBER = "member"
    ADMIN = "admin"


def add_to(app: Commands) -> None:
    """Add the commands."""
    app.add_typer(user, name="user")
    app.add_typer(key, name="key")
    budgets.add_to(key)
    master_key.add_to(key)
    app.command()(usage)


@user.command("invite")
def user_invite(
    email: Email,
    *,
    admin: Annotated[bool, typer.Option("--admin", help="Make this user an admin.")] = False,
    no_mail: NoMail = False,
    as_json: Json = False,
) -> None:
    """Invite a user, print his one-time link, and mail it where mail is configured."""
    body = {"email": email, "admin": admin, "mail": not no_mail}
    _print_link(ask("POST", "/users", body, direct=True, seconds=SLOW_SECONDS), as_json=as_json)


@user.command("link")
def user_link(email: Email, *, no_mail: NoMail = False, as_json: Json = False) -> None:
    """Print a new one-time link for a user, and mail it where mail is configured."""
    path, body = named("users", email, "link"), {"mail": not no_mail}
    _print_link(ask("POST", path, body, direct=True, seconds=SLOW_SECONDS), as_json=as_json)


@user.command("list")
def user_list(*, as_json: Json = False) -> None:
    """List users."""
    columns = ["email", "role", "disabled_at", "disabled_because", "created_at"]
    print_rows(ask("GET", "/users", direct=True), columns, as_json=as_json, empty=NOBODY)


@user.command("role")
def user_role(
    email: Email, role: Annotated[RoleName, typer.Argument(metavar="ROLE", help="member or admin.")]
) -> None:
    """Make a user an admin, or a member again; the last admin stays one."""
    ask("POST", named("users", email, "role"), {"role": role.value}, direct=True)
    typer.echo(f"{email} is {'an admin' if role is RoleName.ADMIN else 'a member'} now.")


@user.command("sign-out")
def user_sign_out(email: Email) -> None:
    """End every session of a user; he may sign in again."""
    ended = ask("POST", named("users", email, "sign-out"), direct=True)["sessions"]
    typer.echo(f"{email} is signed out ({ended} {'session' if ended == 1 else 'sessions'}).")


@user.command("disable")
def user_disable(email: Email) -> None:
    """Shut a user out: sessions end, his key is refused, his sandbox is paused; files are kept."""
    ask("POST", named("users", email, "disable"), direct=True)
    typer.echo(
        f"{email} is shut out; his sandbox is paused. `shmastra user enable {email}` lets him in again."
    )


@user.command("enable")
def user_enable(email: Email) -> None:
    """Let a user in again."""
    ask("POST", named("users", email, "enable"), direct=True)
    typer.echo(f"{email} may come in again. `shmastra user link {email}` prints a link.")


@user.command("remove")
def user_remove(email: Email, *, yes: Yes = False) -> None:
    """Remove a user and destroy his sandbox with all files; what he used stays counted."""
    confirm(f"Remove {email} and destroy his sandbox with all its files?", yes=yes)
    ask("POST", named("users", email, "remove"), direct=True, seconds=SLOW_SECONDS)
    typer.echo(f"{email} is removed.")


@key.command("rotate")
def key_rotate(email: Email) -> None:
    """Replace a user's virtual key; the old one is refused at once."""
    ask("POST", named("users", email, "rotate-key"), direct=True)
    typer.echo(f"{email} has a new key; his sandbox is given it and its dev server restarts.")


@key.command("models")
def key_models(
    email: Annotated[str | None, typer.Argument(metavar="EMAIL", help="The user's email.")] = None,
    *,
    everyone: Annotated[
        bool, typer.Option("--all-users", "--organization", help="The rule for all instead of a user's.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Allow these, such as 'openai/gpt-5*' or '!openai/*-pro'."),
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Remove the rule.")] = False,
    as_json: Json = False,
) -> None:
    """Show or set which models a user, or everybody, may call."""
    if (email is None) != everyone:
        raise typer.BadParameter("Name a user's EMAIL, or --all-users.")
    if none and allow:
        raise typer.BadParameter("--none removes the rule; leave --allow out.")
    path = named("models") if email is None else named("users", email, "models")
    if allow or none:
        rules = ask("PUT", path, {"patterns": allow or []}, direct=True)
    else:
        rules = ask("GET", path, direct=True)
    print_json(rules) if as_json else _print_rules(rules)


def _print_rules(rules: dict[str, Any]) -> None:
    whose = "The rule for all" if rules["email"] is None else f"The rule of {rules['email']}"
    typer.echo(f"{whose}: {', '.join(map(plain, rules['patterns'])) or 'there is none.'}")
    typer.echo(f"Allowed: {', '.join(map(plain, rules['allowed'])) or 'every model'}")
    if rules["excluded"]:
        typer.echo(f"Excluded: {', '.join(map(plain, rules['excluded']))}")


def usage(
    *,
    by: Annotated[By, typer.Option(help="What to sum up by.")] = By.USER,
    since: Annotated[
        dt.datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], metavar="DATE", help="From this day on (UTC), such as 2026-11-01."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show requests, tokens and cost (USD), by user, model or day; what has no known price is said apart."""
    query = f"?by={by.value}" + (f"&since={since:%Y-%m-%d}T00:00:00Z" if since else "")
    columns = [by.value, "requests", "input_tokens", "output_tokens", "cost_usd"]
    rows = ask("GET", f"/users/usage{query}")
    if not as_json:
        rows = [{**row, "cost_usd": _cost(row)} for row in rows]
    print_rows(rows, columns, as_json=as_json, empty=NOTHING_USED)


def _cost(row: dict[str, Any]) -> str:
    """Write a cost so that what has no known price does not look free."""
    unpriced, cost = row["unpriced_requests"], f"{row['cost_usd']:.6f}"
    if not unpriced:
        return cost
    return "no price" if not row["cost_usd"] else f"{cost} + {unpriced} without a price"


def _print_link(link: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(link)
        return
    typer.echo(link["url"])
    if link["expires_at"] is None:
        typer.echo(f"({link['email']} signs in there as everybody in your organization does)")
    else:
        typer.echo(f"(works once, until {link['expires_at']})")
    if link.get("mailed"):
        typer.echo(f"Mailed to {link['email']}.")
    elif "mail_error" in link:
        typer.echo(f"It was not mailed: {plain(link['mail_error'])} Pass it on yourself.", err=True)
