"""Reads a backup to its end, and believes none of it before every byte is what the manifest says."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from shmastra_cloud.backup.archive import Reader
from shmastra_cloud.backup.errors import BadBackup
from shmastra_cloud.backup.manifest import FIRST, LAST, MAX_BYTES, Manifest, check_opening, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_SMALL = 1 << 20


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Give a backup's file.

    Raises:
        BadBackup: there is none, or it is no file.
    """
    if not path.exists():
        raise BadBackup(f"There is no file {path}.")
    if not path.is_file():
        raise BadBackup(
            f"{path} is not a file. A backup is read twice, so that it cannot come through a pipe."
        )
    with path.open("rb") as file:
        yield file


def inspect(file: IO[bytes]) -> Manifest:
    """Return what is in a backup, all of whose bytes were read.

    Raises:
        BadBackup: it is none, is damaged, ends early, or was changed.
        TooNew: a newer program made it.
    """
    file.seek(0)
    reader = Reader(file)
    last = b""
    for number, (name, body) in enumerate(reader.members()):
        if number == 0:
            if name != FIRST:
                raise BadBackup("This is not a backup of Shmastra Cloud.")
            check_opening(small(body))
        last = small(body, MAX_BYTES) if name == LAST else b""
    manifest = read_manifest(last)
    if reader.read[:-1] != manifest.sums():
        raise BadBackup("The backup does not hold what its manifest says: it is damaged, or was changed.")
    if [one.name for one in manifest.members] != expected(manifest):
        raise BadBackup("The backup holds what no backup does, or not all of it: it was changed.")
    return manifest


def expected(manifest: Manifest) -> list[str]:
    """Return the members of a backup in their order, but for the manifest."""
    found = [FIRST, *(f"database/{table.name}" for table in manifest.tables)]
    for one in manifest.templates:
        found += [f"templates/{one.name}/template.json", f"templates/{one.name}/files.tar"]
    for sandbox in manifest.sandboxes:
        found += [f"sandboxes/{sandbox.id}/sandbox.json", f"sandboxes/{sandbox.id}/files.tar"]
    return found


def small(body: Iterator[bytes], most: int = MAX_SMALL) -> bytes:
    """Return a member that cannot be large.

    Raises:
        BadBackup: it is.
    """
    found = bytearray()
    for piece in body:
        found += piece
        if len(found) > most:
            raise BadBackup("A part of the backup is larger than it can be: it was changed.")
    return bytes(found)
