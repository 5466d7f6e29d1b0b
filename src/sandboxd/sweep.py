"""Clearing away what a killed daemon left half-made: containers, mounts and loop devices without a record."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sandboxd.commands import run

if TYPE_CHECKING:
    from collections.abc import Collection

log = logging.getLogger(__name__)

MOUNTS = Path("/proc/self/mounts")


async def sweep(runc: str, runc_root: Path, sandboxes: Path, known: Collection[str]) -> None:
    """Leave nothing of any sandbox that is not known.

    Raises:
        CommandFailed: a program did not end in time.
    """
    for sandbox_id in await _containers(runc, runc_root):
        if sandbox_id not in known:
            log.warning("a container without a record is ended: %s", sandbox_id)
            await run(runc, "--root", str(runc_root), "delete", "--force", sandbox_id, check=False)
    for target in reversed(mounts(sandboxes)):
        if target.relative_to(sandboxes).parts[0] not in known:
            await run("umount", "--lazy", str(target), check=False)
    await _free_loops(sandboxes, known)
    await asyncio.to_thread(_delete_unknown, sandboxes, known)
    for scratch in await asyncio.to_thread(lambda: list(sandboxes.parent.glob("empty-*.i*"))):
        if scratch.suffix != ".img":
            scratch.unlink(missing_ok=True)


def _names(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()} if folder.exists() else set()


def _delete_unknown(sandboxes: Path, known: Collection[str]) -> None:
    for folder in sandboxes.iterdir():
        if folder.name not in known:
            log.warning("a half-made sandbox is deleted: %s", folder.name)
            shutil.rmtree(folder, ignore_errors=True)


def mounts(below: Path) -> list[Path]:
    """Return what is mounted below a folder, in the order in which it was."""
    found = (line.split()[1].replace("\\040", " ") for line in MOUNTS.read_text().splitlines())
    return [Path(target) for target in found if target.startswith(f"{below}/")]


async def _containers(runc: str, runc_root: Path) -> list[str]:
    told = await run(runc, "--root", str(runc_root), "list", "--format", "json", check=False)
    try:
        listed = {one["id"] for one in json.loads(told) or []}
    except ValueError:
        listed = set()
    # one that was not made to its end is a folder only
    return sorted(listed | await asyncio.to_thread(_names, runc_root))


async def _free_loops(sandboxes: Path, known: Collection[str]) -> None:
    told = await run("losetup", "--list", "--json", "--output", "NAME,BACK-FILE", check=False)
    devices = json.loads(told)["loopdevices"] if told.strip() else []
    for device in devices:
        file = str(device["back-file"] or "").removesuffix(" (deleted)")
        if file.startswith(f"{sandboxes}/") and Path(file).relative_to(sandboxes).parts[0] not in known:
            await run("losetup", "--detach", device["name"], check=False)
