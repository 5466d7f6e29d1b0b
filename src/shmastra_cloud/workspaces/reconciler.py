"""The worker: takes rows that something must be done about, and moves each towards where it should be.

One idempotent step at a time under a lease that is renewed while the step runs; a worker that dies leaves a
lease that runs out, and the next one goes on from what is recorded.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import random
import secrets
from typing import TYPE_CHECKING

from shmastra_cloud.database import TROUBLE
from shmastra_cloud.secrets_at_rest import MasterKeyError
from shmastra_cloud.workspaces.env_file import env_file
from shmastra_cloud.workspaces.errors import EngineError, LeaseLost, SandboxGone, StartFailed, WorkspaceError
from shmastra_cloud.workspaces.pause import suspend
from shmastra_cloud.workspaces.status import after_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from shmastra_cloud.workspaces.engine import Engine, Running
    from shmastra_cloud.workspaces.store import Workspace, Workspaces

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
RENEW_SECONDS = 3.0
ATTEMPT_SECONDS = 60
HEALTHY_SECONDS = 40
HEALTH_POLL_SECONDS = 0.05
AT_ONCE = 8


class Reconciler:
    """Runs steps for whatever is due."""

    def __init__(  # noqa: PLR0913 -- what an `.env` is made of comes from several places
        self,
        store: Workspaces,
        engine: Engine,
        virtual_key: Callable[[UUID], Awaitable[str]],
        gateway_url: str,
        template_version: str,
        *,
        further_providers: Callable[[], Awaitable[Sequence[str]]],
    ) -> None:
        self._store = store
        self._engine = engine
        self._virtual_key = virtual_key
        self._gateway_url = gateway_url
        self._version = template_version
        self._further_providers = further_providers
        self._owner = f"worker-{os.getpid()}-{secrets.token_hex(3)}"
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self, _payload: str = "") -> None:
        """Look for work at once."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; then the steps under way are cancelled and their leases given back."""
        try:
            while True:
                self._wake.clear()
                await self._take_all()
                try:
                    async with asyncio.timeout(POLL_SECONDS * random.uniform(0.8, 1.2)):  # noqa: S311
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take_all(self) -> None:
        while len(self._tasks) < AT_ONCE:
            try:
                workspace = await self._store.claim(self._owner)
            except TROUBLE as error:
                log.warning("cannot look for work (%s)", type(error).__name__)
                return
            except MasterKeyError as error:  # its lease keeps it from being taken again at once
                log.error("a workspace is left alone: %s", error)  # noqa: TRY400 -- one sentence says it
                continue
            if workspace is None:
                return
            task = asyncio.create_task(self._work(workspace))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a step failed unexpectedly", exc_info=error)

    async def _work(self, workspace: Workspace) -> None:
        """Run one step while its lease is renewed; whichever fails ends the other."""
        rest = dt.timedelta(0)
        try:
            async with asyncio.TaskGroup() as group:
                renewal = group.create_task(self._renew(workspace))
                rest = await self._step(workspace)
                renewal.cancel()
        except* LeaseLost:
            log.info("workspace %s was taken over", workspace.id)
        except* WorkspaceError as errors:
            log.warning("workspace %s: %s", workspace.id, errors.exceptions[0])
            rest = dt.timedelta(seconds=5)
        except* MasterKeyError as errors:
            log.error("workspace %s: %s", workspace.id, errors.exceptions[0])  # noqa: TRY400 -- see above
            rest = dt.timedelta(seconds=5)
        except* TROUBLE as errors:
            log.warning("workspace %s: %s", workspace.id, type(errors.exceptions[0]).__name__)
        finally:
            await self._store.release(workspace, rest)

    async def _renew(self, workspace: Workspace) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self._store.renew(workspace)

    async def _step(self, workspace: Workspace) -> dt.timedelta:
        """Take the step that is due; returns for how long the row should be left alone."""
        if workspace.status == "provisioning":
            return await self._provision(workspace)
        if workspace.status == "healing":
            await self._store.move(
                workspace, "provisioning", actor="worker", reason="the healer did not report back"
            )
        elif workspace.env_version != workspace.wanted_env_version:
            await self._store.move(workspace, "provisioning", actor="worker", reason="its settings changed")
        elif workspace.idle:
            await self._pause(workspace)
        else:
            await self._extend(workspace)
        return dt.timedelta(0)

    async def _pause(self, workspace: Workspace) -> None:
        if await self._store.move(
            workspace, "paused", actor="worker", reason="nobody was active", only_idle=True
        ):
            await suspend(self._engine, workspace)

    async def _extend(self, workspace: Workspace) -> None:
        if workspace.sandbox_id is None:
            await self._store.move(workspace, "provisioning", actor="worker", reason="there is no sandbox")
            return
        try:
            await self._engine.connect(workspace.sandbox_id)
            await self._store.extended(workspace, self._engine.lease_seconds)
        except SandboxGone:
            await self._store.move(workspace, "provisioning", actor="worker", reason="the sandbox was gone")

    async def _provision(self, workspace: Workspace) -> dt.timedelta:
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                await self._bring_up(workspace)
        except (EngineError, TimeoutError) as error:
            return await self._failed(workspace, str(error) or "It did not become healthy in time.")
        return dt.timedelta(0)

    async def _failed(self, workspace: Workspace, error: str) -> dt.timedelta:
        cause = error.partition("\n")[0]  # what follows is a sandbox's own words
        log.warning("workspace %s, attempt %d failed: %s", workspace.id, workspace.attempt, cause)
        await self._store.move(
            workspace,
            after_failure(workspace.attempt),
            actor="worker",
            reason=f"attempt {workspace.attempt} failed: {cause}",
            error=error,
            attempt=workspace.attempt + 1,
        )
        return dt.timedelta(seconds=2**workspace.attempt * random.uniform(0.5, 1.0))  # noqa: S311

    async def _bring_up(self, workspace: Workspace) -> None:
        await self._store.stage(workspace, "creating")
        running = await self._locate(workspace)
        await self._store.located(workspace, running.id, running.host, running.traffic_token)
        await self._store.extended(workspace, self._engine.lease_seconds)
        await self._store.stage(workspace, "starting")
        key = await self._virtual_key(workspace.user_id)
        text = env_file(
            user_id=workspace.user_id,
            virtual_key=key,
            mastra_token=workspace.mastra_token,
            gateway_url=self._gateway_url,
            further=await self._further_providers(),
        )
        await self._engine.start(running, text)
        await self._store.stage(workspace, "waiting")
        try:
            async with asyncio.timeout(HEALTHY_SECONDS):
                await self._healthy(running, running.traffic_token or workspace.traffic_token)
        except TimeoutError as error:
            raise StartFailed(await self._last_words(running, key, workspace.mastra_token)) from error
        # Whoever wanted it gets his whole idle time, however long starting took.
        await self._store.keep_awake({workspace.user_id: "started"}, self._engine.lease_seconds // 3)
        await self._store.move(
            workspace,
            "ready",
            actor="worker",
            reason="the dev server is healthy",
            env_version=workspace.wanted_env_version,
            version=self._version,
        )

    async def _last_words(self, running: Running, *secrets: str) -> str:
        """Say that the dev server did not answer, with the end of its log, in which no secret is shown."""
        tail = (await self._engine.log_tail(running)).replace("\0", "")  # which Postgres cannot hold
        for secret in secrets:
            tail = tail.replace(secret, "[hidden]")
        return f"The dev server did not become healthy within {HEALTHY_SECONDS} s.\n{tail}".strip()

    async def _healthy(self, running: Running, token: str | None) -> None:
        """Poll the dev server until it answers; the attempt's time-out ends this."""
        while not await self._engine.is_healthy(running.id, running.host, token):  # noqa: ASYNC110 -- a remote
            await asyncio.sleep(HEALTH_POLL_SECONDS)

    async def _locate(self, workspace: Workspace) -> Running:
        """Find the workspace's sandbox, recorded or not, or make it."""
        sandbox_id = workspace.sandbox_id or await self._engine.find(workspace.id)
        if sandbox_id is not None and workspace.reset_wanted:
            await self._engine.kill(sandbox_id)
            await self._store.unlocated(workspace)
            sandbox_id = None
        if sandbox_id is not None:
            try:
                return await self._engine.connect(sandbox_id)
            except SandboxGone:
                await self._store.unlocated(workspace)
        return await self._engine.create(workspace.id, f"{workspace.id}-{workspace.fence}")
