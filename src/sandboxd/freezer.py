"""Freezing and thawing by the cgroup's own file; an OCI runtime's command costs ten times as much."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sandboxd import cgroups
from sandboxd.errors import WrongState

if TYPE_CHECKING:
    from pathlib import Path

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
        WrongState: the sandbox does not run, or does not go on in time.
    """
    await _set(sandbox_id, frozen=False)


async def _set(sandbox_id: str, *, frozen: bool) -> None:
    found = cgroups.folder(sandbox_id, "freezer")
    if found is None:
        raise WrongState(f"Sandbox {sandbox_id} does not run.")
    control, text, state, word = _files(found, frozen=frozen)
    try:
        async with asyncio.timeout(SECONDS):
            control.write_text(text)
            while word not in state.read_text():  # noqa: ASYNC110 -- of the kernel
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        raise WrongState(f"Sandbox {sandbox_id} could not be {'frozen' if frozen else 'thawed'}.") from error
    except OSError as error:
        raise WrongState(f"Sandbox {sandbox_id} does not run.") from error


def _files(found: Path, *, frozen: bool) -> tuple[Path, str, Path, str]:
    """Return what to write where, what to read until it is so, and the word that says so; v1, else v2."""
    if (found / "freezer.state").exists():
        word = "FROZEN" if frozen else "THAWED"
        return found / "freezer.state", word, found / "freezer.state", word
    number = "1" if frozen else "0"
    return found / "cgroup.freeze", number, found / "cgroup.events", f"frozen {number}"
