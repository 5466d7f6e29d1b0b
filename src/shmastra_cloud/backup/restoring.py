"""Restores a backup: beside what is there, and into its place when all of it stands and is on the disk."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from shmastra_cloud.backup import moves
from shmastra_cloud.backup.archive import Reader
from shmastra_cloud.backup.errors import BackupError, BadBackup, NotPossible, Occupied, TooNew, WrongKey
from shmastra_cloud.backup.here import stop_sandboxes
from shmastra_cloud.backup.inspecting import inspect, opened
from shmastra_cloud.backup.making import described
from shmastra_cloud.backup.output import check_space
from shmastra_cloud.backup.refilling import refilled
from shmastra_cloud.backup.staging import Staging
from shmastra_cloud.database import known_migrations
from shmastra_cloud.secrets_at_rest import load_vault
from shmastra_cloud.supervisor import SERVICE, account, held, own, owner_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shmastra_cloud.backup.manifest import Manifest
    from shmastra_cloud.backup.refilling import Refill
    from shmastra_cloud.secrets_at_rest import Vault
    from shmastra_cloud.settings import Settings
    from shmastra_cloud.supervisor import Account

SYNC_SECONDS = 600
WORDS = {"sandboxes": "sandbox", "templates": "template"}
SHOWN = 16  # digits of a fingerprint, which is no secret


@dataclass(frozen=True)
class How:
    """``replace`` an installation that is there; seal all secrets under a ``new_key``."""

    replace: bool
    new_key: bool


async def restore(settings: Settings, path: Path, how: How, say: Callable[[str], None]) -> dict[str, Any]:
    """Restore a backup into the settings' data folder, and return what came of it.

    Raises:
        BackupError: it was not restored, and all is as it was.
        SupervisorError: the cloud runs there, or the database could not be made.
    """
    data, began = settings.data.resolve(), time.monotonic()
    with opened(path) as file, ExitStack() as holding:
        say("reading the backup")
        manifest = inspect(file)
        _check_place(settings, manifest)
        data.mkdir(parents=True, exist_ok=True)
        holding.enter_context(held(data / "run", "`shmastra restore`"))
        moves.finish(data, say)
        moves.clear(data)
        there = _there(data, manifest)
        if there and not how.replace:
            raise _occupied(there)
        vault = _key(settings, manifest, how)
        check_space(data, manifest.files_bytes, "what is in the backup")
        try:
            names, made_anew = await _stage(data, file, manifest, vault if how.new_key else None, say)
            if data / "engine" / "sandboxes" in there:
                await stop_sandboxes(data / "engine")
            _sync(data)
        except BaseException:
            with suppress(OSError):
                moves.clear(data)
            raise
        say("putting it into place")
        kept = moves.commit(data, names, say)
    return {
        **described(manifest),
        "data": str(data),
        "seconds": round(time.monotonic() - began, 1),
        "made_anew": made_anew,
        "master_key": "new" if how.new_key else "missing" if vault is None else "fits",
        "kept_aside": None if kept is None else str(kept),
    }


def check(path: Path) -> dict[str, Any]:
    """Read a backup to its end, and return what is in it.

    Raises:
        BadBackup: it is none, is damaged, ends early, or was changed.
        TooNew: a newer program made it.
    """
    with opened(path) as file:
        manifest = inspect(file)
        _check_schema(manifest)
        return described(manifest)


def _check_schema(manifest: Manifest) -> None:
    known = set(known_migrations())
    newer = [name for name in manifest.migrations if name not in known]
    if newer:
        raise TooNew(
            f"This backup was made by a newer Shmastra Cloud: its schema has {newer[-1][:60]}, which this "
            "one does not know. Update this one first."
        )


def _check_place(settings: Settings, manifest: Manifest) -> None:
    """Make sure that what the backup holds can be put where the settings lead."""
    _check_schema(manifest)
    if manifest.has_database and settings.database_url is not None:
        raise NotPossible(
            "DATABASE_URL is set, and a database elsewhere is not written to. Unset it to restore into an "
            "embedded one."
        )
    if not manifest.has_database and settings.database_url is None:
        raise NotPossible(
            "This backup holds files only, whose database is elsewhere: set DATABASE_URL to it, as it was."
        )
    if manifest.sandboxes and not settings.local_engine:
        raise NotPossible(
            "This backup holds sandboxes' files, and with E2B_API_KEY sandboxes are elsewhere. Unset it."
        )
    if manifest.sandboxes_at == "here" and os.geteuid() != 0:
        raise NotPossible("The sandboxes' files will belong to root. Run this as root (sudo).")


def _there(data: Path, manifest: Manifest) -> list[Path]:
    """Return what of an installation is there already."""
    postgres, sandboxes = data / "postgres", data / "engine" / "sandboxes"
    found = [postgres] if manifest.has_database and postgres.exists() else []
    if manifest.sandboxes_at == "here" and sandboxes.is_dir() and any(sandboxes.iterdir()):
        found.append(sandboxes)
    return found


def _occupied(there: list[Path]) -> Occupied:
    return Occupied(
        f"There is an installation already: {', '.join(map(str, there))}. Choose another folder with --data, "
        "or add --force, which keeps what is there in a folder beside."
    )


def _key(settings: Settings, manifest: Manifest, how: How) -> Vault | None:
    """Return the master key at hand, made where a new one is wanted; None where there is none.

    Raises:
        WrongKey: it is not that of the backup, or it is, and a new one is wanted.
    """
    path = settings.master_key_file or settings.data.resolve() / "master.key"
    if settings.master_key is None and not path.exists() and not how.new_key:
        return None
    vault = load_vault(settings)
    held = {fingerprint.hex() for fingerprint in vault.fingerprints}
    fits = manifest.master_key is None or manifest.master_key in held
    if how.new_key and fits:
        raise WrongKey("The master key at hand is that of the backup: nothing has to be sealed anew.")
    if not fits and not how.new_key:
        raise WrongKey(
            f"The master key at hand has the fingerprint {vault.fingerprint.hex()[:SHOWN]}, and the backup "
            f"needs {str(manifest.master_key)[:SHOWN]}. Put that key into {path} (or SHMASTRA_MASTER_KEY); "
            "one that was replaced lies beside it in a file whose name ends with that fingerprint. "
            "If it is lost, --new-master-key gives everybody a new virtual key."
        )
    return vault


async def _stage(
    data: Path, file: IO[bytes], manifest: Manifest, new: Vault | None, say: Callable[[str], None]
) -> tuple[list[str], int]:
    """Make all of it under the staged folder; return the names to be moved, and how many are made anew."""
    who = _service(data, manifest)
    folder = own(moves.staged(data), who, 0o711)
    here = manifest.sandboxes_at == "here"
    present = [one.id for one in manifest.sandboxes] if here else None
    files = Staging(folder / "engine", data / "engine", manifest) if here else None
    file.seek(0)
    reader = Reader(file)
    filled = refilled(folder, who, manifest, new, present) if manifest.has_database else nullcontext()
    say("making the database")
    async with filled as rows:
        await _pour(reader, rows, files, say)
        if reader.read[:-1] != manifest.sums():
            raise BadBackup("The backup changed while it was read.")
    names = ["postgres.password", "postgres"] if manifest.has_database else []
    if files is not None:
        names += [*(f"engine/templates/{name}" for name in files.templates), "engine/sandboxes"]
    return names, 0 if rows is None else rows.made_anew


def _service(data: Path, manifest: Manifest) -> Account | None:
    """Return whom the database will belong to: as with `shmastra up`, or whoever has the folder already."""
    owner = owner_of(data)
    return account(SERVICE) if owner is None or manifest.sandboxes_at == "here" else owner


async def _pour(
    reader: Reader, rows: Refill | None, files: Staging | None, say: Callable[[str], None]
) -> None:
    """Give each member to who makes something of it."""
    for name, body in reader.members():
        kind, _, rest = name.partition("/")
        if kind == "database" and rows is not None:
            await rows.take(rest, body)
        elif kind in WORDS and files is not None:
            if rest.endswith("/files.tar"):
                say(f"restoring the {WORDS[kind]} {rest.partition('/')[0]}")
            await files.take(name, body)


def _sync(data: Path) -> None:
    """Have all that was made on the disk.

    Raises:
        BackupError: the disk fails, or is too busy.
    """
    try:
        subprocess.run(  # noqa: S603 -- our own words
            ["/usr/bin/sync", "--file-system", str(data)], check=True, timeout=SYNC_SECONDS
        )
    except subprocess.SubprocessError as error:
        raise BackupError(f"What was restored could not be written to the disk of {data}.") from error
