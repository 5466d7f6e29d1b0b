"""Resuming in place: the web process that holds a request takes the row's lease and thaws the sandbox."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any

from shmastra_cloud.database import TROUBLE
from shmastra_cloud.workspaces.errors import EngineError, IllegalTransition, LeaseLost, SandboxGone

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from uuid import UUID

    from shmastra_cloud.workspaces.engine import Engine
    from shmastra_cloud.workspaces.store import Workspace, Workspaces

log = logging.getLogger(__name__)

RESUME_SECONDS = 10


class Resumer:
    """Resumes each user's sandbox at most once at a time."""

    def __init__(self, store: Workspaces, engine: Engine) -> None:
        self._store = store
        self._engine = engine
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._beside: set[asyncio.Task[None]] = set()
        self._owner = f"web-{os.getpid()}"

    async def resume(self, user_id: UUID, because: str, actor: str = "web") -> None:
        """Bring a paused sandbox back, or hand it to the worker where it cannot be brought back in place.

        Where another process holds the row, nothing is done: that process is at work on it.
        """
        task = self._running.get(user_id)
        if task is None:
            task = asyncio.create_task(self._resume(user_id, because, actor))
            self._running[user_id] = task
            task.add_done_callback(lambda _: self._running.pop(user_id, None))
        await asyncio.shield(task)

    def look_after(self, workspace: Workspace) -> None:
        """See, without waiting, whether the sandbox is still there, and hand it to the worker if it is not.

        For an answer that stopped midway: a page that asks for nothing would go on calling it ready.
        """
        self._aside(self._look(workspace))

    async def _look(self, workspace: Workspace) -> None:
        try:
            if await self._engine.find(workspace.id) is None:
                await self._store.move(
                    workspace,
                    "provisioning",
                    actor="web",
                    reason="the sandbox was gone",
                    under_lease=False,
                )
        except (EngineError, IllegalTransition) as error:
            log.info("workspace %s was not looked after: %s", workspace.id, error)

    async def _resume(self, user_id: UUID, because: str, actor: str) -> None:
        workspace = await self._store.take(user_id, self._owner)
        if workspace is None:
            return
        try:
            await self._step(workspace, because, actor)
        except (LeaseLost, IllegalTransition):
            log.info("workspace %s was taken over while it was resumed", workspace.id)
        finally:
            # whoever waits for the sandbox need not wait for this; a lease that is not given back runs out
            self._aside(self._release(workspace))

    async def _release(self, workspace: Workspace) -> None:
        try:
            await self._store.release(workspace)
        except TROUBLE as error:
            log.warning(
                "the lease on workspace %s was not given back (%s)", workspace.id, type(error).__name__
            )

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _step(self, workspace: Workspace, because: str, actor: str) -> None:
        reason = await self._thaw(workspace)
        if reason is None and workspace.env_version == workspace.wanted_env_version:
            kept = self._engine.lease_seconds
            await self._store.woken(workspace, because, engine_seconds=kept, idle_seconds=kept // 3)
            if workspace.status != "ready":
                await self._store.move(workspace, "ready", actor=actor, reason=because)
            return
        await self._store.move(
            workspace,
            "provisioning",
            actor=actor,
            reason=reason or "the settings changed while it was paused",
        )

    async def _thaw(self, workspace: Workspace) -> str | None:
        """Return None once the dev server answers, else why it has to be started anew."""
        if workspace.sandbox_id is None:
            return "there is no sandbox yet"
        try:
            async with asyncio.timeout(RESUME_SECONDS):
                running = await self._engine.connect(workspace.sandbox_id)
                token = running.traffic_token or workspace.traffic_token
                if await self._engine.is_healthy(running.id, running.host, token):
                    return None
        except SandboxGone:
            return "the sandbox was gone"
        except (EngineError, TimeoutError) as error:
            log.warning("resuming %s failed: %s", workspace.sandbox_id, error or "time-out")
            return "it could not be resumed in place"
        return "the dev server did not answer after resuming"
