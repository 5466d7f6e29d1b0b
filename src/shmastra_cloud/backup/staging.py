"""Sandboxes and templates made out of a backup, in a folder beside where they will be."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from sandboxd import disks, records, unpacking
from sandboxd.engine import FIRST_UID, MAX_SANDBOXES, UIDS
from sandboxd.errors import EngineError
from sandboxd.records import Record
from shmastra_cloud.backup.errors import BackupError, BadBackup
from shmastra_cloud.backup.inspecting import small

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shmastra_cloud.backup.manifest import Manifest

END_SECONDS = 120
_OWN_NAME = re.compile(r"-[0-9a-f]{12}$")
_RECORD = TypeAdapter(Record)


class Staging:
    """Takes members of a backup and makes an engine's folder of them.

    A template gets a name of its own, by what is in it: the sandboxes that were made from it stay with it,
    whatever this program's own template is or becomes. One that ``there`` has already is not made again.
    """

    def __init__(self, engine: Path, there: Path, manifest: Manifest) -> None:
        self._engine, self._there = engine, there
        self._sums = {one.name: one.sha256 for one in manifest.members}
        self._sizes = {one.id: one.disk_mb << 20 for one in manifest.sandboxes}
        self._names: dict[str, str] = {}
        self._told: dict[str, bytes] = {}
        self._records: dict[str, Record] = {}
        self.templates: list[str] = []
        (engine / "sandboxes").mkdir(parents=True)
        (engine / "templates").mkdir()
        (engine / "mounted").mkdir(mode=0o700)

    async def take(self, name: str, body: Iterator[bytes]) -> None:
        """Make what a member holds.

        Raises:
            BadBackup: it holds what no such member can.
            BackupError: it could not be made.
        """
        kind, own, part = name.split("/")
        if kind == "templates" and part == "template.json":
            self._told[own] = small(body)
            self._names[own] = self._named(own)
        elif kind == "templates":
            self._template(own, body)
        elif part == "sandbox.json":
            self._records[own] = self._record(own, small(body))
        else:
            await self._sandbox(self._records[own], body)

    def _named(self, own: str) -> str:
        digest = self._sums[f"templates/{own}/files.tar"][:12]
        return f"{_OWN_NAME.sub('', own)[:50]}-{digest}"

    def _template(self, own: str, body: Iterator[bytes]) -> None:
        final = self._names[own]
        if (self._there / "templates" / final / "template.json").is_file() or final in self.templates:
            return
        try:
            told = json.loads(self._told[own])
            version, created_at = told.get("version"), told.get("created_at")
        except (ValueError, AttributeError) as error:
            raise BadBackup(f"What the backup says of the template {own} cannot be read.") from error
        folder = self._engine / "templates" / final
        folder.mkdir()
        _feed(unpacking.template_argv(folder), body, f"The template {own}")
        kept = {"name": final, "version": version, "created_at": created_at, "env": {}}
        (folder / "template.json").write_text(json.dumps(kept))
        self.templates.append(final)

    def _record(self, own: str, data: bytes) -> Record:
        """Return a sandbox's record, checked: what it names becomes a path, its number decides its uids."""
        try:
            record = _RECORD.validate_json(data, strict=True)
        except ValidationError as error:
            raise BadBackup(f"What the backup says of the sandbox {own} cannot be read.") from error
        taken = {one.index for one in self._records.values()}
        if record.id != own or not 0 <= record.index < MAX_SANDBOXES or record.index in taken:
            raise BadBackup(
                f"The backup's sandbox {own} says that it is another one: the backup was changed."
            )
        if record.template not in self._names and not re.fullmatch(
            r"[a-z0-9][a-z0-9._-]{0,63}", record.template
        ):
            raise BadBackup(f"The backup's sandbox {own} names a template that cannot be one.")
        record.template = self._names.get(record.template, record.template)
        record.state = "paused"
        return record

    async def _sandbox(self, record: Record, body: Iterator[bytes]) -> None:
        folder = self._engine / "sandboxes" / record.id
        records.make_folder(folder)
        image = folder / "disk.img"
        try:
            await disks.make_empty(image, self._sizes[record.id])
        except EngineError as error:
            raise BackupError(str(error)) from error
        first_uid = FIRST_UID + record.index * UIDS
        argv = unpacking.disk_argv(image, self._engine / "mounted", first_uid)
        _feed(argv, body, f"The sandbox {record.id}")
        records.write(folder, record)


def _feed(argv: list[str], body: Iterator[bytes], what: str) -> None:
    """Give a program its input; what it says of it is the error.

    Raises:
        BadBackup: it refused what it was given.
        BackupError: it failed.
    """
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(  # noqa: S603 -- our own words
            argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
        ) as process:
            try:
                _pour(process, body)
                status = process.wait(END_SECONDS)
            except BaseException:
                process.kill()
                raise
        said.seek(0)
        words = said.read()[-400:].decode(errors="replace").strip()
    if status == unpacking.REFUSED:
        raise BadBackup(f"{what} cannot be restored: {words}")
    if status != 0:
        raise BackupError(f"{what} could not be restored: {words}")


def _pour(process: subprocess.Popen[bytes], body: Iterator[bytes]) -> None:
    if process.stdin is None:
        return
    try:
        with process.stdin as pipe:
            for piece in body:
                pipe.write(piece)
    except BrokenPipeError:
        return  # it has ended, and its status says why
