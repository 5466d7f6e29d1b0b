"""What an admin asks of one workspace: pause, resume, restart, reset, delete; each under the row's lease."""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from shmastra_cloud.workspaces.errors import EngineAway, IllegalTransition, LeaseLost, SandboxGone
from shmastra_cloud.workspaces.store import LEASE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from shmastra_cloud.workspaces.engine import Engine
    from shmastra_cloud.workspaces.resume import Resumer
    from shmastra_cloud.workspaces.status import Status
    from shmastra_cloud.workspaces.store import Workspace, Workspaces

# As long as a worker's whole attempt may hold a row, and a little more.
PATIENCE_SECONDS = 75
POLL_SECONDS = 0.1
ENGINE_SECONDS = LEASE.total_seconds() - 3
MAX_COPIES = 5
ACTOR = "admin"
REASON = "an admin asked for it"


class Lifecycle:
    """Changes workspaces on demand."""

    def __init__(self, store: Workspaces, engine: Engine, resumer: Resumer) -> None:
        self._store, self._engine, self._resumer = store, engine, resumer
        self._owner = f"admin-{os.getpid()}-{secrets.token_hex(3)}"

    async def pause(self, user_id: UUID) -> Status:
        """Suspend a ready sandbox; ``paused`` is committed first, as the worker does.

        Raises:
            IllegalTransition: it is neither ready nor paused.
            EngineAway: it is marked as paused, but the service failed to suspend it.
        """
        async with self._leased(user_id) as workspace:
            if workspace.status != "paused":
                await self._store.move(workspace, "paused", actor=ACTOR, reason=REASON)
            if workspace.sandbox_id is not None:
                async with _in_time():
                    await self._pause(workspace.sandbox_id)
        return "paused"

    async def resume(self, user_id: UUID) -> Status:
        """Bring a paused sandbox back, or have the worker start it where it cannot be brought back in place.

        Raises:
            IllegalTransition: it is neither paused nor ready.
        """
        workspace = await self._store.get(user_id)
        if workspace.status not in ("paused", "ready"):
            raise IllegalTransition(
                f"A sandbox that is {workspace.status} cannot be resumed. "
                "`shmastra sandbox restart` starts it anew."
            )
        await self._resumer.resume(user_id, REASON, ACTOR)
        return (await self._store.get(user_id)).status

    async def restart(self, user_id: UUID) -> Status:
        """Have the worker start the dev server anew."""
        async with self._leased(user_id) as workspace:
            await self._provision(workspace)
        return "provisioning"

    async def reset(self, user_id: UUID) -> Status:
        """Have the worker begin again with an empty sandbox."""
        async with self._leased(user_id) as workspace:
            await self._store.want_reset(workspace)
            await self._provision(workspace)
        return "provisioning"

    async def delete(self, user_id: UUID) -> None:
        """Destroy a sandbox at the service, then forget the workspace.

        Raises:
            EngineAway: the service failed; the workspace is still known, so that nothing is left behind.
        """
        async with self._leased(user_id) as workspace:
            async with _in_time():
                await self._destroy(workspace)
            await self._store.delete(workspace)

    async def _destroy(self, workspace: Workspace) -> None:
        """Kill what is recorded, and what was made without being recorded."""
        found = workspace.sandbox_id or await self._engine.find(workspace.id)
        for _ in range(MAX_COPIES):
            if found is None:
                return
            await self._engine.kill(found)
            killed, found = found, await self._engine.find(workspace.id)
            if found == killed:  # the service's list may lag behind
                return
        raise EngineAway("The sandbox service still lists the sandbox after it was destroyed.")

    async def _pause(self, sandbox_id: str) -> None:
        try:
            await self._engine.pause(sandbox_id)
        except SandboxGone:
            return  # resuming it says so, and starts another

    async def _provision(self, workspace: Workspace) -> None:
        if workspace.status != "provisioning":
            await self._store.move(workspace, "provisioning", actor=ACTOR, reason=REASON)

    @asynccontextmanager
    async def _leased(self, user_id: UUID) -> AsyncIterator[Workspace]:
        """Hold the lease on the user's row, waiting for whoever is at work on it."""
        await self._store.get(user_id)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (workspace := await self._store.seize(user_id, self._owner)) is None:
                    await self._store.get(user_id)
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError as error:
            raise LeaseLost("The sandbox is being worked on. Try again in a moment.") from error
        try:
            yield workspace
        finally:
            await self._store.release(workspace)


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """Bound what is asked of the service, so that the lease still holds afterwards."""
    try:
        async with asyncio.timeout(ENGINE_SECONDS):
            yield
    except TimeoutError as error:
        raise EngineAway("The sandbox service did not answer in time.") from error
