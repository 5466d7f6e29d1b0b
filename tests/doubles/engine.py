"""Sandbox services that fail in named ways, for the reconciler; what works is tested against the real one."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from shmastra_cloud.workspaces.errors import EngineAway, SandboxGone


@dataclass(frozen=True)
class Made:
    """Stands for a running sandbox."""

    id: str
    host: str | None = None
    traffic_token: str | None = "traffic"


@dataclass
class Works:
    """Does what it is asked, and remembers it."""

    lease_seconds: int = 60
    sandboxes: dict[str, UUID] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    env: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    async def ping(self) -> None:
        self.calls.append("ping")

    async def find(self, workspace_id: UUID) -> str | None:
        self.calls.append("find")
        return next((name for name, owner in self.sandboxes.items() if owner == workspace_id), None)

    async def create(self, workspace_id: UUID, once: str) -> Made:
        self.calls.append("create")
        name = f"sb{len(self.calls)}"
        self.sandboxes[name] = workspace_id
        return Made(name)

    async def connect(self, sandbox_id: str) -> Made:
        self.calls.append("connect")
        if sandbox_id not in self.sandboxes:
            raise SandboxGone(sandbox_id)
        self.paused.discard(sandbox_id)
        return Made(sandbox_id)

    async def pause(self, sandbox_id: str) -> None:
        self.calls.append("pause")
        self.paused.add(sandbox_id)

    async def kill(self, sandbox_id: str) -> None:
        self.calls.append("kill")
        self.sandboxes.pop(sandbox_id, None)

    async def start(self, running: Made, env: str) -> None:
        self.calls.append("start")
        self.env[running.id] = env

    async def is_healthy(self, sandbox_id: str, host: str | None, traffic_token: str | None) -> bool:
        return sandbox_id in self.sandboxes and sandbox_id not in self.paused


class Bad(Works):
    """Refuses to make anything."""

    async def create(self, workspace_id: UUID, once: str) -> Made:
        self.calls.append("create")
        raise EngineAway("the service is on fire")


class Never(Works):
    """Makes sandboxes whose dev server never answers; its log repeats the environment."""

    async def log_tail(self, running: Made) -> str:
        return f"Error: no such package\0\n{self.env[running.id]}"

    async def is_healthy(self, sandbox_id: str, host: str | None, traffic_token: str | None) -> bool:
        return False


class Forgets(Works):
    """Makes a sandbox and dies before saying so; the next call works."""

    async def create(self, workspace_id: UUID, once: str) -> Made:
        made = await super().create(workspace_id, once)
        if self.calls.count("create") == 1:
            raise EngineAway("the connection broke")
        return made
