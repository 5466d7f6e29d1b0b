"""Going into a sandbox from outside: it is resumed first and stays awake while somebody is inside."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from shmastra_cloud.database import TROUBLE
from shmastra_cloud.workspaces.commands import Inside
from shmastra_cloud.workspaces.errors import EngineAway, EngineError, StartFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from shmastra_cloud.workspaces.engine import Engine
    from shmastra_cloud.workspaces.resume import Resumer
    from shmastra_cloud.workspaces.store import Workspaces

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 20
POLL_SECONDS = 0.1


class Access:
    """Lets an admin's programs into sandboxes."""

    def __init__(self, store: Workspaces, engine: Engine, resumer: Resumer, idle_seconds: int) -> None:
        self._store, self._engine, self._resumer = store, engine, resumer
        self._idle_seconds = idle_seconds

    @asynccontextmanager
    async def held(self, user_id: UUID, because: str) -> AsyncIterator[Inside]:
        """Give a user's sandbox, running, and count as activity until the block ends.

        Raises:
            UnknownWorkspace: he has none.
            EngineError: it cannot be had; the message says why.
        """
        await self._store.keep_awake({user_id: because}, self._idle_seconds)
        sandbox_id = await self._located(user_id)
        inside = Inside(await self._engine.connect(sandbox_id))
        renewal = asyncio.create_task(self._renew(user_id, sandbox_id, because))
        try:
            yield inside
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)

    async def _located(self, user_id: UUID) -> str:
        """Return the sandbox's id as soon as it is there and not paused."""
        workspace = await self._store.get(user_id)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while workspace.sandbox_id is None or workspace.status == "paused":
                    if workspace.status == "paused":
                        await self._resumer.resume(user_id, "an admin went in", "admin")
                    await asyncio.sleep(POLL_SECONDS)
                    workspace = await self._store.get(user_id)
        except TimeoutError as error:
            raise StartFailed(
                f"The sandbox is {workspace.status} ({workspace.stage}) and cannot be entered yet. "
                "Try again in a moment; `shmastra sandbox show` tells how it goes."
            ) from error
        return workspace.sandbox_id

    async def _renew(self, user_id: UUID, sandbox_id: str, because: str) -> None:
        """Keep it awake, whatever its status is, until cancelled."""
        while True:
            await asyncio.sleep(self._idle_seconds / 3)
            try:
                await self._store.keep_awake({user_id: because}, self._idle_seconds)
                await self._engine.connect(sandbox_id)
            except EngineAway:
                log.warning("sandbox %s could not be kept for another while, trying again", sandbox_id)
            except EngineError as error:
                log.warning("sandbox %s is not kept any longer: %s", sandbox_id, error)
                return
            except TROUBLE as error:
                log.warning("could not write activity (%s), trying again", type(error).__name__)
