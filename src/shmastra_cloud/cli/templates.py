"""``shmastra template``: what sandboxes start from."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shmastra_cloud.cli.ask import ask
from shmastra_cloud.cli.common import Failed, Json, dsn, group, here_only, settings
from shmastra_cloud.cli.printing import print_fields, print_json, print_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shmastra_cloud.settings import Settings

template = group("What sandboxes start from.")

BUILD = "template.build"  # in the audit log
NONE_YET = "No template is built yet. `shmastra template build` builds it; `shmastra up` does so too."


@template.command("build")
@here_only
def template_build(
    *, studio: Annotated[bool, typer.Option("--studio", help="Fetch Studio alone.")] = False
) -> None:
    """Build the sandbox template and fetch Studio, where they are missing or older than this source."""
    from shmastra_cloud.start_up import ensure_studio, ensure_template

    found = settings()
    with _written_down(found):
        if studio or not found.local_engine:
            ensure_studio(found.data.resolve(), typer.echo)
        else:
            ensure_template(found.data.resolve(), typer.echo)


@contextmanager
def _written_down(found: Settings) -> Iterator[None]:
    """Note in the audit log how the build ended."""
    try:
        yield
    except BaseException:
        _note(found, failed=True)
        raise
    _note(found, failed=False)


def _note(found: Settings, *, failed: bool) -> None:
    """Have the cloud write it down or, where none runs, write it into its database, if there is one."""
    from shmastra_cloud.audit import record_in

    try:
        ask("POST", "/audit", {"action": BUILD, "target": found.template, "failed": failed})
    except Failed:
        if found.database_url is not None:
            asyncio.run(record_in(dsn(found), BUILD, found.template, failed=failed))


@template.command("list")
@here_only
def template_list(*, as_json: Json = False) -> None:
    """List the templates that are built on this machine."""
    print_rows(
        built(_folder()), ["name", "version", "created_at", "current"], as_json=as_json, empty=NONE_YET
    )


@template.command("show")
@here_only
def template_show(
    name: Annotated[str, typer.Argument(metavar="NAME")] = "shmastra", *, as_json: Json = False
) -> None:
    """Show one template: its version, when it was built, and whether this source would build the same."""
    for row in built(_folder()):
        if row["name"] == name:
            if as_json:
                print_json(row)
            else:
                print_fields(row)
            return
    raise Failed(f"There is no template {name}. `shmastra template list` shows what is built.")


def built(folder: Path) -> list[dict[str, Any]]:
    """Return what is built: name, version (None: it has none), time, and whether it is this source's.

    Raises:
        Failed: the folder cannot be read.
    """
    from shmastra_cloud.templates import source_version

    rows = []
    try:
        for path in sorted(folder.glob("[!.]*/template.json")):
            told = json.loads(path.read_text())
            version = told.get("version")
            current = version is None or version == source_version()
            row = {"name": path.parent.name, "version": version, "created_at": told.get("created_at")}
            rows.append({**row, "current": current})
    except PermissionError as error:
        raise Failed(f"{error.filename} cannot be read. Run this as the user who runs the cloud.") from error
    except ValueError as error:
        raise Failed(f"{path} is damaged. `shmastra template build` builds it again.") from error
    return rows


def _folder() -> Path:
    return settings().data.resolve() / "engine" / "templates"
