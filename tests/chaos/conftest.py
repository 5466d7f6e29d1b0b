"""One cloud that these tests kill piece by piece, and a user of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from e2b import Sandbox, SandboxQuery
from tests.support.cloud import RunningCloud, running_cloud


@dataclass
class Teammate:
    """A user with a session of his own."""

    cloud: RunningCloud
    email: str = field(default_factory=lambda: f"u{secrets.token_hex(4)}@example.com")

    def __post_init__(self) -> None:
        self.http: httpx.Client = self.cloud.signed_in(self.email)

    def sandboxes(self) -> list[str]:
        """Return the ids of every sandbox that the engine holds for him, by the workspace's own id."""
        row = self.cloud.json("sandbox", "show", self.email)
        pages = Sandbox.list(query=SandboxQuery(), **self.cloud.engine)
        found = [one for one in pages.next_items() if one.metadata]
        mine = [one.metadata for one in found if one.sandbox_id == row["sandbox_id"]]
        return [one.sandbox_id for one in found if one.metadata in mine]

    def ready(self, seconds: float = 60) -> Sandbox:
        """Wait until the sandbox is ready, and return it."""
        self.http.get("/workspace")
        self.cloud.until(self.http, "ready", seconds)
        return self.cloud.sandbox(self.email)


@pytest.fixture(scope="module")
def cloud(request: pytest.FixtureRequest) -> Iterator[RunningCloud]:
    with running_cloud({"SHMASTRA_DEMO_MODEL": "off"}, name="chaos") as running:
        failed = request.session.testsfailed
        yield running
        if request.session.testsfailed > failed:
            running.keep_logs()


@pytest.fixture(scope="module")
def ann(cloud: RunningCloud) -> Iterator[Teammate]:
    teammate = Teammate(cloud)
    teammate.ready()
    yield teammate
    teammate.http.close()


@pytest.fixture
def bob(cloud: RunningCloud) -> Iterator[Teammate]:
    """A user who has not come in yet."""
    teammate = Teammate(cloud)
    yield teammate
    teammate.http.close()
    for sandbox_id in teammate.sandboxes():
        Sandbox.kill(sandbox_id, **cloud.engine)
