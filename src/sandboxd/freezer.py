"""Freezing and thawing by the cgroup's own file; an OCI runtime's command costs ten times as much."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sandboxd.errors import WrongState
from sandboxd.spec import CGROUPS

ROOT = Path("/sys/fs/cgroup")
SECONDS = 5
POLL_SECONDS = 0.0005


async def freeze(sandbox_id: str) -> None:
    """Stop every process of a sandbox where it is.

    Raises:
        WrongState: it does not run, or does not come to a stop in time.
    """
    await _set(sandbox_id, frozen=True)


async def thaw(sandbox_id: str) -> None:
    """Let every process go on.

    Raises:
        WrongState: the sandbox does not run.
    """
    await _set(sandbox_id, frozen=False)


async def _set(sandbox_id: str, *, frozen: bool) -> None:
    control, state, word = _files(sandbox_id, frozen=frozen)
    if control is None:
        raise WrongState(f"Sandbox {sandbox_id} does not run.")
    control[0].write_text(control[1])
    try:
        async with asyncio.timeout(SECONDS):
            while word not in state.read_text():  # noqa: ASYNC110 -- of the kernel
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        raise WrongState(f"Sandbox {sandbox_id} could not be {'frozen' if frozen else 'thawed'}.") from error


def _files(sandbox_id: str, *, frozen: bool) -> tuple[tuple[Path, str] | None, Path, str]:
    """Return what to write, what to read until it is so, and the word that says so; v1, else v2."""
    old = ROOT / "freezer" / CGROUPS.strip("/") / sandbox_id / "freezer.state"
    if old.exists():
        word = "FROZEN" if frozen else "THAWED"
        return (old, word), old, word
    for root in (ROOT, ROOT / "unified"):
        folder = root / CGROUPS.strip("/") / sandbox_id
        if (folder / "cgroup.freeze").exists():
            number = "1" if frozen else "0"
            return (folder / "cgroup.freeze", number), folder / "cgroup.events", f"frozen {number}"
    return None, old, ""
