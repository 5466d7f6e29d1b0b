"""Signals to processes inside a sandbox, sent from outside: no program is started in it for that.

A sandbox at its limit of processes could not start one, and one that forks without end would outrun it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from sandboxd import cgroups, freezer
from sandboxd.errors import WrongState

PROC = Path("/proc")
ROUNDS = 3
GONE_SECONDS = 1.0
POLL_SECONDS = 0.002


async def signal_group(sandbox_id: str, group: int, number: int) -> int:
    """Signal a process group, by the number it has inside, and return how many processes were reached.

    SIGKILL goes to the whole session of that number (a shell on a terminal gives each job its own group).
    It waits until they are gone, and does it again for what was forked meanwhile; after some rounds the
    sandbox is made to stand still, so that nothing can be forked between finding and signalling.

    Raises:
        WrongState: the sandbox does not run.
    """
    if cgroups.folder(sandbox_id, "freezer") is None:
        raise WrongState(f"Sandbox {sandbox_id} does not run.")
    reached = await _once(sandbox_id, group, number)
    if number != signal.SIGKILL:
        return reached
    for _ in range(ROUNDS):
        more = await _once(sandbox_id, group, number)
        if more == 0:
            return reached
        reached += more
    return reached + await _standing_still(sandbox_id, group, number)


async def _standing_still(sandbox_id: str, group: int, number: int) -> int:
    """Signal while nothing runs; all the same where that cannot be had (a process hangs in the kernel)."""
    found: list[int] = []
    try:
        with contextlib.suppress(WrongState):
            await freezer.freeze(sandbox_id)
        found = await asyncio.to_thread(_signal_members, sandbox_id, group, number)
    finally:
        await freezer.thaw(sandbox_id)
        await _close_when_gone(found)
    return len(found)


async def _once(sandbox_id: str, group: int, number: int) -> int:
    found = await asyncio.to_thread(_signal_members, sandbox_id, group, number)
    await _close_when_gone(found if number == signal.SIGKILL else [], found)
    return len(found)


async def _close_when_gone(awaited: list[int], opened: list[int] | None = None) -> None:
    """Wait until processes are reaped, for then only do they no longer count against the limit."""
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GONE_SECONDS):
                while any(map(_is_there, awaited)):  # noqa: ASYNC110 -- of the kernel
                    await asyncio.sleep(POLL_SECONDS)
    finally:
        for descriptor in awaited if opened is None else opened:
            os.close(descriptor)


def _is_there(descriptor: int) -> bool:
    try:
        signal.pidfd_send_signal(descriptor, 0)
    except OSError:
        return False
    return True


def _signal_members(sandbox_id: str, group: int, number: int) -> list[int]:
    """Signal who is in the group, and return their pidfds."""
    found = (_signal(sandbox_id, pid, group, number) for pid in cgroups.pids(sandbox_id))
    return [descriptor for descriptor in found if descriptor is not None]


def _signal(sandbox_id: str, pid: int, group: int, number: int) -> int | None:
    """Signal a process that is in the group; looked at once its pidfd holds it, so no other is hit."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None
    with contextlib.suppress(OSError):  # it has just ended
        if _is_member(sandbox_id, pid, group, "NSsid:" if number == signal.SIGKILL else "NSpgid:"):
            signal.pidfd_send_signal(descriptor, number)
            return descriptor
    os.close(descriptor)
    return None


def _is_member(sandbox_id: str, pid: int, group: int, kind: str) -> bool:
    told = (PROC / str(pid) / "status").read_text()
    inside = next((line.split()[-1] for line in told.splitlines() if line.startswith(kind)), "")
    return inside == str(group) and f"/{sandbox_id}" in (PROC / str(pid) / "cgroup").read_text()
