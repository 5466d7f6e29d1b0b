"""Makes a backup: the database as it is at one moment, then the files of the sandboxes that it names.

In this order nothing dangles: a sandbox that is made meanwhile is in neither, and one that is deleted
meanwhile is noted as lost, and made anew for its user after a restore.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from sandboxd import packing, records
from shmastra_cloud.backup import tables
from shmastra_cloud.backup.announcing import announce_in
from shmastra_cloud.backup.archive import Writer
from shmastra_cloud.backup.errors import BackupError, NotPossible
from shmastra_cloud.backup.here import database, engine, kept_still, one_at_a_time
from shmastra_cloud.backup.manifest import (
    FIRST,
    LAST,
    Manifest,
    MemberSum,
    SavedSandbox,
    SavedTemplate,
    Table,
    opening,
)
from shmastra_cloud.backup.output import STDOUT, check_space, output
from shmastra_cloud.supervisor import owner_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandboxd.records import Record
    from shmastra_cloud.backup.here import Connection, Copier, Source
    from shmastra_cloud.settings import Settings

PIECE = 1 << 20
END_SECONDS = 60
MOUNTED = "mounted"


@dataclass(frozen=True)
class Wanted:
    """What is to be saved: ``database`` or not, ``files`` of sandboxes here, and ``templates`` with them."""

    database: bool
    files: bool
    templates: bool


@dataclass
class _Made:
    """What stands in the backup so far."""

    migrations: list[str] = field(default_factory=list)
    master_key: str | None = None
    tables: list[Table] = field(default_factory=list)
    sandboxes: list[SavedSandbox] = field(default_factory=list)
    templates: list[SavedTemplate] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def wanted(settings: Settings, *, files_only: bool, templates: bool) -> Wanted:
    """Return what is to be saved of this installation.

    Raises:
        NotPossible: nothing of it is here, or it must be said that the database is not saved.
        Unreadable: it is another user's.
    """
    data, elsewhere = settings.data.resolve(), settings.database_url is not None
    files = settings.local_engine and (data / "engine").exists()
    if elsewhere and not files_only:
        more = "Add --files-only to save the sandboxes' files." if files else "No sandbox's files are here."
        raise NotPossible(
            "The database is at DATABASE_URL, and its owner's to back up (with Supabase: its own backups, or "
            f"pg_dump). {more}"
        )
    if files_only and not files:
        raise NotPossible("No sandbox runs on this machine, so that there are no files to save.")
    if not files_only and not (data / "postgres").exists():
        raise NotPossible(f"There is no installation in {data}. --data names another folder.")
    if files and os.geteuid() != 0:
        raise NotPossible("The sandboxes' files belong to root. Run this as root (sudo).")
    owner_of(data / ("engine" if files_only else "postgres"))
    return Wanted(not files_only, files, templates and files)


async def make(settings: Settings, target: Path, what: Wanted, say: Callable[[str], None]) -> dict[str, Any]:
    """Write a backup to a file (or ``-``), and return what stands in it.

    Raises:
        BackupError: it could not be made; nothing is left under the file's name that was not there before.
    """
    data, began = settings.data.resolve(), time.monotonic()
    async with AsyncExitStack() as open_:
        open_.enter_context(one_at_a_time(data))
        running = open_.enter_context(kept_still(data, say))
        found = await open_.enter_async_context(database(data, running=running)) if what.database else None
        source = None if found is None else found.connection
        saved = await _sandboxes(source, data) if what.files else {}
        names = _templates(data, saved) if what.templates else []
        with output(target) as out:
            await _check_space(data, target, source, saved, names)
            copier = (
                await open_.enter_async_context(engine(settings, data, running=running)) if saved else None
            )
            writer, made = Writer(out), _Made()
            writer.add(FIRST, opening())
            if source is not None:
                say("saving the database")
                await _save_database(source, writer, made)
            for name in names:
                say(f"saving the template {name}")
                _save_template(data / "engine" / "templates" / name, writer, made)
            if copier is not None:
                await _save_sandboxes(data / "engine", copier, saved, writer, made, say)
            manifest = _manifest(made, writer, here=settings.local_engine)
            writer.add(LAST, manifest.model_dump_json().encode())
            writer.finish()
        await _announce(settings, found, target, manifest)
    return _summary(manifest, target, time.monotonic() - began)


async def _sandboxes(source: Connection | None, data: Path) -> dict[str, str | None]:
    """Return the sandboxes to save, each with its user's email; without a database, all there are."""
    if source is not None:
        rows = await source.fetch(
            "select s.sandbox_id, u.email from sandboxes s join users u on u.id = s.user_id"
            " where s.sandbox_id is not null order by s.created_at"
        )
        return {row["sandbox_id"]: row["email"] for row in rows}
    found = [records.read(folder) for folder in sorted((data / "engine" / "sandboxes").glob("i*"))]
    return {record.id: None for record in found if record is not None and record.state != "creating"}


def _templates(data: Path, saved: dict[str, str | None]) -> list[str]:
    """Return the templates that sandboxes start from, where they are still there."""
    found = {record.template for name in saved if (record := records.read(data / "engine/sandboxes" / name))}
    templates = data / "engine" / "templates"
    return sorted(name for name in found if (templates / name / "template.json").is_file())


async def _check_space(
    data: Path, target: Path, source: Connection | None, saved: dict[str, str | None], templates: list[str]
) -> None:
    """Make sure that all fits, even what cannot be compressed, and a copy of one disk beside it."""
    folder = data / "engine"
    disks = [
        packing.used_bytes(image)
        for name in saved
        if (image := folder / "sandboxes" / name / "disk.img").exists()
    ]
    rows = 0 if source is None else await source.fetchval("select pg_database_size(current_database())")
    whole = sum(disks) + sum(packing.used_bytes(folder / "templates" / name) for name in templates) + rows
    if target != STDOUT:
        check_space(target.parent, whole, "the backup")
    if disks:
        check_space(folder, max(disks), "the copy of a sandbox's disk")


async def _save_database(source: Connection, writer: Writer, made: _Made) -> None:
    rows = await source.fetch("select name from schema_migrations order by split_part(name, '_', 1)::int")
    made.migrations = [row["name"] for row in rows]
    fingerprint = await source.fetchval("select master_key_fingerprint from installation")
    made.master_key = None if fingerprint is None else bytes(fingerprint).hex()
    for shape in await tables.shapes(source):
        with writer.member(f"database/{shape.name}") as sink:
            rows_copied = await tables.copy_out(source, shape, sink)
        made.tables.append(Table(name=shape.name, columns=list(shape.columns), rows=rows_copied))


def _save_template(folder: Path, writer: Writer, made: _Made) -> None:
    told = (folder / "template.json").read_bytes()
    writer.add(f"templates/{folder.name}/template.json", told)
    _save_stream(writer, f"templates/{folder.name}/files.tar", packing.template_argv(folder))
    made.templates.append(SavedTemplate(name=folder.name))


async def _save_sandboxes(  # noqa: PLR0913, PLR0917 -- from where, of whom, to where
    folder: Path,
    copier: Copier,
    saved: dict[str, str | None],
    writer: Writer,
    made: _Made,
    say: Callable[[str], None],
) -> None:
    copies = folder / "copies"
    shutil.rmtree(copies, ignore_errors=True)  # a killed backup's
    (copies / MOUNTED).mkdir(mode=0o700, parents=True)
    try:
        for number, (sandbox_id, email) in enumerate(saved.items(), 1):
            say(f"saving sandbox {number} of {len(saved)} ({email or sandbox_id})")
            image = await copier.copy(sandbox_id)
            record = records.read(folder / "sandboxes" / sandbox_id)
            if image is None or record is None:
                made.lost.append(sandbox_id)
            else:
                made.sandboxes.append(_save_sandbox(image, record, email, writer))
                image.unlink()
    finally:
        shutil.rmtree(copies)


def _save_sandbox(image: Path, record: Record, email: str | None, writer: Writer) -> SavedSandbox:
    argv = packing.disk_argv(image, image.parent / MOUNTED)
    writer.add(f"sandboxes/{record.id}/sandbox.json", records.as_json(record))
    _save_stream(writer, f"sandboxes/{record.id}/files.tar", argv)
    size = image.stat().st_size >> 20
    return SavedSandbox(id=record.id, email=email, template=record.template, disk_mb=size)


def _save_stream(writer: Writer, name: str, argv: list[str]) -> None:
    """Write what a program says as a member."""
    with tempfile.TemporaryFile() as said, writer.member(name) as sink:
        with subprocess.Popen(  # noqa: S603 -- our own words
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        ) as process:
            try:
                _pass_on(process.stdout, sink.write)
                status = process.wait(END_SECONDS)
            except BaseException:
                process.kill()
                raise
        if status != 0:
            said.seek(0)
            words = said.read()[-400:].decode(errors="replace").strip()
            raise BackupError(f"The files of {name} could not be read: {words}")


def _pass_on(stream: IO[bytes] | None, write: Callable[[bytes], None]) -> None:
    while stream is not None and (piece := stream.read(PIECE)):
        write(piece)


async def _announce(settings: Settings, found: Source | None, target: Path, manifest: Manifest) -> None:
    address = settings.database_url.get_secret_value() if settings.database_url else None
    dsn = address if found is None else found.dsn
    if dsn is not None:
        saved = {"sandboxes": len(manifest.sandboxes), "database": manifest.has_database}
        await announce_in(dsn, "backup.make", str(target), **saved)


def _manifest(made: _Made, writer: Writer, *, here: bool) -> Manifest:
    return Manifest(
        created_at=dt.datetime.now(dt.UTC),
        program=importlib.metadata.version("shmastra-cloud"),
        sandboxes_at="here" if here else "elsewhere",
        members=[MemberSum(name=one.name, size=one.size, sha256=one.sha256) for one in writer.members],
        **vars(made),
    )


def _summary(manifest: Manifest, target: Path, seconds: float) -> dict[str, Any]:
    size = target.stat().st_size if target != STDOUT else None
    return {"file": str(target), "bytes": size, "seconds": round(seconds, 1), **described(manifest)}


def described(manifest: Manifest) -> dict[str, Any]:
    """Return what a backup holds, for people and programs."""
    rows = {table.name: table.rows for table in manifest.tables}
    return {
        "created_at": manifest.created_at.isoformat(),
        "program": manifest.program,
        "schema": manifest.migrations[-1] if manifest.migrations else None,
        "database": manifest.has_database,
        "users": rows.get("users", 0),
        "sandboxes_at": manifest.sandboxes_at,
        "sandboxes": [{"sandbox_id": one.id, "email": one.email} for one in manifest.sandboxes],
        "lost": manifest.lost,
        "templates": [one.name for one in manifest.templates],
        "master_key_fingerprint": manifest.master_key,
        "unpacked_bytes": manifest.files_bytes,
    }
