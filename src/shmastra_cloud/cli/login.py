"""``shmastra login``, ``logout`` and ``token``: asking a cloud elsewhere."""

from __future__ import annotations

import platform
import re
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shmastra_cloud.cli.ask import ask, named
from shmastra_cloud.cli.common import (
    Commands,
    Failed,
    Json,
    choose,
    group,
    here_only,
)
from shmastra_cloud.cli.credentials import Credential, address, forget, keep, stored
from shmastra_cloud.cli.printing import plain, print_rows

if TYPE_CHECKING:
    import httpx

token = group("API tokens: what `shmastra login` gives an admin's command line elsewhere.")

SECONDS = 30
MAX_INTERVAL, SLOWER_SECONDS = 30.0, 5.0
LOST = 5  # answers in a row that may be missing while an admin makes up his mind
NONE = "There are no tokens. `shmastra login URL`, on another machine, makes one."
NOT_LOGGED_IN = "You are logged in nowhere. `shmastra login URL` logs you in."
COLUMNS = ["id", "email", "name", "created_at", "expires_at", "last_used_at", "last_used_from"]
Address = Annotated[str, typer.Argument(metavar="URL", help="The cloud, such as https://cloud.example.com.")]


def add_to(app: Commands) -> None:
    """Add the commands."""
    app.command("login")(login_command)
    app.command("logout")(logout_command)
    app.add_typer(token, name="token")


@here_only
def login_command(
    cloud: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="The cloud, such as https://cloud.example.com.")
    ] = None,
    *,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the token is called; this machine's name.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="For how long.")] = 90,
    listed: Annotated[bool, typer.Option("--list", help="Say where you are logged in.")] = False,
    as_json: Json = False,
) -> None:
    """Log in at a cloud elsewhere, as an admin who confirms it in his browser; then use --url URL."""
    if listed:
        _list(as_json=as_json)
        return
    if cloud is None:
        raise typer.BadParameter("Name the cloud's URL, or --list.")
    there = address(cloud)
    found = log_in(there, name or _own_name(), days)
    before = stored().get(there)
    keep(there, found)
    if before is not None:
        _revoke_quietly(there, before)
    typer.echo(f"Logged in at {there} as {plain(found.email)}, until {plain(found.expires_at)}.")
    typer.echo(f"`shmastra --url {there} sandbox list`, for one, asks that cloud.")


@here_only
def logout_command(cloud: Address) -> None:
    """Log out at a cloud elsewhere: the token is revoked there and removed here."""
    there = address(cloud)
    found = stored().get(there)
    if found is None:
        raise Failed(f"You are not logged in at {there}.")
    choose(None, None, there)
    try:
        ask("POST", named("tokens", found.id, "revoke"))
    except Failed as error:
        if error.code not in ("bad_token", "unknown_token", "not_found"):  # else it has ended already
            raise Failed(f"{error} So you are still logged in.") from error
    forget(there)
    typer.echo(f"Logged out at {there}.")


@token.command("list")
def token_list(*, as_json: Json = False) -> None:
    """List the tokens of all admins."""
    print_rows(ask("GET", "/tokens", direct=True), COLUMNS, as_json=as_json, empty=NONE)


@token.command("revoke")
def token_revoke(
    number: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id, from `shmastra token list`.")],
) -> None:
    """Revoke a token: it is refused at once, and what it has running ends."""
    gone = ask("POST", named("tokens", number, "revoke"), direct=True)
    typer.echo(f"{plain(gone['name'])} of {plain(gone['email'])} is revoked.")


def log_in(url: str, name: str, days: int) -> Credential:
    """Show a code, wait until an admin has confirmed it, and return the token.

    Raises:
        Failed: nobody has, or the cloud cannot be asked.
    """
    import httpx

    from shmastra_cloud.cli import remote

    with httpx.Client(transport=remote.transport(), base_url=url, timeout=SECONDS, trust_env=False) as http:
        try:
            begun = _post(http, url, "/api/login/device", {"name": name, "days": days})
        except httpx.HTTPError as error:
            raise remote.unreachable(url, error) from error
        wanted = {"device_code": str, "user_code": str, "verification_uri": str, "expires_in": int}
        if any(not isinstance(begun.get(field), kind) for field, kind in wanted.items()):
            raise Failed(f"{url} answers as no Shmastra Cloud does that this command line knows.")
        typer.echo(f"Open {plain(begun['verification_uri'])} as an admin, and type this code:\n")
        typer.echo(f"    {plain(begun['user_code'])}\n")
        typer.echo("Waiting (Ctrl-C gives up) ...")
        return _wait(http, url, begun)


def _wait(http: httpx.Client, url: str, begun: dict[str, Any]) -> Credential:
    import httpx

    from shmastra_cloud.cli import remote

    interval = min(MAX_INTERVAL, max(0.2, float(begun.get("interval", 5))))
    deadline, lost = time.monotonic() + min(3600, begun["expires_in"]), 0
    while time.monotonic() < deadline:
        time.sleep(interval)
        try:
            answer = _post(http, url, "/api/login/token", {"device_code": begun["device_code"]})
            lost = 0
        except httpx.HTTPError as error:
            lost += 1
            if lost > LOST:
                raise remote.unreachable(url, error) from error
            continue
        if "access_token" in answer:
            names = ("id", "name", "email", "expires_at")
            return Credential(answer["access_token"], *(str(answer[field]) for field in names))
        if answer.get("code") == "slow_down":
            interval = min(MAX_INTERVAL, interval + SLOWER_SECONDS)
        elif answer.get("code") != "authorization_pending":
            raise Failed(plain(answer.get("error")))
    raise Failed("Nobody has confirmed the code in time. Run this again.")


def _post(http: httpx.Client, url: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask something of a cloud where nobody is logged in yet; what it refuses is an answer, too."""
    from shmastra_cloud.cli import remote

    answer = http.post(path, json=body)
    remote.check(url, answer.status_code, answer.headers)
    try:
        said = answer.json()
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise Failed(f"{url} answers as no Shmastra Cloud does ({answer.status_code}).")
    if answer.is_error and (path.endswith("/device") or answer.status_code != 400):
        raise Failed(plain(said.get("error") or said.get("detail") or answer.status_code))
    return said


def _revoke_quietly(url: str, before: Credential) -> None:
    """Revoke the token that a new one has replaced; it may have ended long ago."""
    choose(None, None, url)
    try:
        ask("POST", named("tokens", before.id, "revoke"))
    except Failed:
        typer.echo(
            f"Your former token, {plain(before.name)}, could not be revoked; it may have ended.", err=True
        )


def _own_name() -> str:
    return re.sub(r"[^\w .@:()+-]", "-", platform.node(), flags=re.ASCII)[:64] or "command line"


def _list(*, as_json: bool) -> None:
    rows = [
        {"url": url, "email": one.email, "name": one.name, "expires_at": one.expires_at}
        for url, one in sorted(stored().items())
    ]
    print_rows(rows, ["url", "email", "name", "expires_at"], as_json=as_json, empty=NOT_LOGGED_IN)
