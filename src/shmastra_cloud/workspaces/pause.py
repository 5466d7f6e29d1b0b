"""Pausing: committed first, so that whoever reads it resumes, whether or not the freezing came through."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from shmastra_cloud.workspaces.errors import EngineError, IllegalTransition, LeaseLost, SandboxGone

if TYPE_CHECKING:
    from shmastra_cloud.workspaces.engine import Engine
    from shmastra_cloud.workspaces.store import Workspace, Workspaces

log = logging.getLogger(__name__)

AT_ONCE = 8


async def suspend(engine: Engine, workspace: Workspace) -> None:
    """Suspend the sandbox of a workspace that was moved to ``paused``; one that is gone is said in the log.

    Raises:
        EngineError: the service failed; its own time-out pauses the sandbox later.
    """
    if workspace.sandbox_id is None:
        return
    try:
        await engine.pause(workspace.sandbox_id)
    except SandboxGone:
        log.warning("sandbox %s was gone when it was to be paused", workspace.sandbox_id)


async def pause_all(store: Workspaces, engine: Engine, reason: str) -> None:
    """Pause every sandbox that is ready, when the whole cloud stops; what is on its way is left as it is."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(workspace: Workspace) -> None:
        async with gate:
            try:
                await store.move(workspace, "paused", actor="up", reason=reason, under_lease=False)
                await suspend(engine, workspace)
            except (IllegalTransition, LeaseLost, EngineError) as error:
                log.warning("workspace %s was not paused: %s", workspace.id, error)

    await asyncio.gather(*(one(workspace) for workspace in await store.ready()))
