import logging
from uuid import UUID

import pytest
from tests.doubles.engine import Works

from shmastra_cloud.workspaces import SandboxGone, Workspaces, pause_all
from shmastra_cloud.workspaces.pause import suspend


async def ready(store: Workspaces, engine: Works, user_id: UUID) -> str:
    workspace = await store.ensure(user_id)
    made = await engine.create(workspace.id, "once")
    claimed = await store.claim("worker")
    assert claimed is not None
    await store.located(claimed, made.id, None, None)
    await store.move(claimed, "ready", actor="worker", reason="healthy")
    await store.release(claimed)
    return made.id


async def test_all_that_is_ready_is_paused_when_the_cloud_stops(store: Workspaces, user_id: UUID) -> None:
    engine = Works()
    sandbox_id = await ready(store, engine, user_id)
    await pause_all(store, engine, "the cloud was stopped")
    assert engine.paused == {sandbox_id}
    row = await store.get(user_id)
    assert row.status == "paused"
    assert (await store.events(row.id))[0]["reason"] == "the cloud was stopped"
    await pause_all(store, engine, "again")
    assert engine.calls.count("pause") == 1


async def test_what_is_on_its_way_is_left_as_it_is(store: Workspaces, user_id: UUID) -> None:
    engine = Works()
    await store.ensure(user_id)
    await pause_all(store, engine, "the cloud was stopped")
    assert (await store.get(user_id)).status == "provisioning"
    assert not engine.calls


class Vanished(Works):
    """Has lost the sandbox by the time it is to be paused."""

    async def pause(self, sandbox_id: str) -> None:
        raise SandboxGone(sandbox_id)


async def test_one_that_is_gone_is_said_so(
    store: Workspaces, user_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox_id = await ready(store, Vanished(), user_id)
    with caplog.at_level(logging.WARNING):
        await suspend(Vanished(), await store.get(user_id))
    assert sandbox_id in caplog.text
