"""``shmastra backup`` and ``shmastra restore``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shmastra_cloud.cli.common import Commands, Json, here_only, settings
from shmastra_cloud.cli.printing import plain, print_json
from shmastra_cloud.progress import Progress

if TYPE_CHECKING:
    from shmastra_cloud.settings import Settings

SHOWN = 16
File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


def add_to(app: Commands) -> None:
    """Add the commands."""
    app.command("backup")(backup_command)
    app.command("restore")(restore_command)


@here_only
def backup_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; - is standard output.")],
    *,
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Leave the database out, where it is elsewhere.")
    ] = False,
    without_templates: Annotated[
        bool, typer.Option("--without-templates", help="Leave out what sandboxes start from.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Save the database and the sandboxes' files in one file, while the cloud runs or not."""
    from shmastra_cloud.backup import STDOUT, make, wanted

    found = settings()
    what = wanted(found, files_only=files_only, templates=not without_templates)
    with Progress(_tell) as progress:
        done = asyncio.run(make(found, file, what, progress))
    done["master_key_at"] = _key_place(found)
    if as_json and file != STDOUT:
        print_json(done)
        return
    size = "" if done["bytes"] is None else f", {done['bytes'] / 1e6:.1f} MB"
    _tell(f"saved in {done['file']}{size}, {done['seconds']} s: {_contents(done)}")
    for name in done["lost"]:
        _tell(f"the sandbox {name} is gone, and is not in it")
    if found.e2b_api_key is not None:
        _tell("the sandboxes' files are at E2B (or where E2B_API_URL leads), and are NOT in it")
    if done["database"]:
        key = str(done["master_key_fingerprint"])[:SHOWN]
        _tell(f"the master key is NOT in it: keep {done['master_key_at']} (fingerprint {key}) somewhere else")
        _tell("without that key its virtual keys cannot be read, and everybody has to be given a new one")


@here_only
def restore_command(
    file: File,
    *,
    check_only: Annotated[
        bool, typer.Option("--check", help="Read it to its end, say what is in it, change nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an installation, which is kept in a folder beside.")
    ] = False,
    new_master_key: Annotated[
        bool,
        typer.Option("--new-master-key", help="The old key is lost: give everybody a new virtual key."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make an installation out of a backup, where there is none yet."""
    from shmastra_cloud.backup import How, check, opened, restore
    from shmastra_cloud.supervisor import SERVICE, account, settle

    if check_only:
        _print_check(check(file), as_json=as_json)
        return
    found = settings()
    with opened(file):  # before a folder is made
        service = account(SERVICE) if found.local_engine else None
        found = found.model_copy(update={"data": settle(found.data, service, _tell)})
    with Progress(_tell) as progress:
        done = asyncio.run(restore(found, file, How(force, new_master_key), progress))
    if as_json:
        print_json(done)
        return
    _tell(f"restored into {done['data']} in {done['seconds']} s: {_contents(done)}")
    if done["made_anew"]:
        _tell(f"{done['made_anew']} sandboxes were not in the backup, and begin empty")
    if done["master_key"] == "missing":
        key = str(done["master_key_fingerprint"])[:SHOWN]
        _tell(f"before the start, put the master key with the fingerprint {key} at {_key_place(found)}")
    if done["master_key"] == "new":
        _tell("everybody has a new virtual key; workspaces are given theirs when they start")
    _tell("start it with `shmastra up`; everybody signs in anew: `shmastra user link EMAIL`")


def _print_check(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    typer.echo(f"whole, made {plain(found['created_at'])} by version {plain(found['program'])}")
    typer.echo(f"schema {plain(found['schema'])}, {_contents(found)}")
    typer.echo(f"needs the master key {plain(found['master_key_fingerprint'])[:SHOWN]}")
    for one in found["sandboxes"]:
        typer.echo(f"{one['sandbox_id']}  {plain(one['email'])}")


def _contents(found: dict[str, Any]) -> str:
    parts = [f"{found['users']} users"] if found["database"] else ["no database"]
    return ", ".join([*parts, f"the files of {len(found['sandboxes'])} sandboxes"])


def _key_place(found: Settings) -> str:
    if found.master_key is not None:
        return "SHMASTRA_MASTER_KEY"
    return str(found.master_key_file or found.data.resolve() / "master.key")


def _tell(text: str) -> None:
    sys.stderr.write(f"shmastra: {text}\n")
    sys.stderr.flush()
