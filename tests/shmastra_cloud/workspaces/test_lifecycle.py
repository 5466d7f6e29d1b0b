import asyncio
from typing import Any, cast
from uuid import UUID

import pytest
from tests.doubles.engine import Works

from shmastra_cloud.database import Pool
from shmastra_cloud.workspaces import (
    EngineAway,
    IllegalTransition,
    LeaseLost,
    Lifecycle,
    Resumer,
    UnknownWorkspace,
    Watch,
    Workspaces,
    lifecycle,
)


class Refuses(Works):
    """Destroys nothing."""

    async def kill(self, sandbox_id: str) -> None:
        raise EngineAway("the service is on fire")


class Lists(Works):
    """Goes on listing what it has destroyed."""

    async def kill(self, sandbox_id: str) -> None:
        self.calls.append("kill")


async def made(store: Workspaces, engine: Works, user_id: UUID, pool: Pool) -> Lifecycle:
    row = await store.ensure(user_id)
    sandbox = await engine.create(row.id, "x")
    await pool.execute("update sandboxes set status = 'ready', sandbox_id = $1, env_version = 1", sandbox.id)
    return Lifecycle(store, cast("Any", engine), Resumer(store, cast("Any", engine)))


async def test_pausing_and_resuming_are_recorded_as_an_admins(
    store: Workspaces, user_id: UUID, pool: Pool
) -> None:
    engine = Works()
    life = await made(store, engine, user_id, pool)
    assert await life.pause(user_id) == "paused"
    assert engine.paused
    assert await life.resume(user_id) == "ready"
    row = await store.get(user_id)
    assert [event["actor"] for event in await store.events(row.id)][:2] == ["admin", "admin"]
    await pool.execute("update sandboxes set status = 'broken'")
    for act in (life.pause, life.resume):
        with pytest.raises(IllegalTransition):
            await act(user_id)


async def test_whoever_is_at_work_on_it_is_waited_for(store: Workspaces, user_id: UUID, pool: Pool) -> None:
    life = await made(store, Works(), user_id, pool)
    worker = await store.seize(user_id, "worker")
    assert worker is not None
    waiting = asyncio.create_task(life.pause(user_id))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await store.release(worker)
    assert await waiting == "paused"


async def test_one_that_is_never_free_is_said_to_be_busy(
    store: Workspaces, user_id: UUID, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = await made(store, Works(), user_id, pool)
    await store.seize(user_id, "worker")
    monkeypatch.setattr(lifecycle, "PATIENCE_SECONDS", 0.3)
    with pytest.raises(LeaseLost, match="Try again"):
        await life.reset(user_id)
    assert not (await store.get(user_id)).reset_wanted


async def test_deleting_destroys_every_copy_and_tells_every_process(
    store: Workspaces, user_id: UUID, pool: Pool, dsn: str
) -> None:
    from shmastra_cloud.database import Notifications

    engine = Works()
    life = await made(store, engine, user_id, pool)
    await engine.create((await store.get(user_id)).id, "unrecorded")
    watch = Watch(store, lambda: notifications.connected)
    notifications = Notifications(dsn, {"sandbox": watch.changed}, watch.drop_all)
    listening = asyncio.create_task(notifications.run())
    try:
        async with asyncio.timeout(10):
            while not notifications.connected:
                await asyncio.sleep(0.01)
        assert await watch.find(user_id) is not None
        await life.delete(user_id)
        assert engine.sandboxes == {}
        async with asyncio.timeout(1):
            while await watch.find(user_id) is not None:
                await asyncio.sleep(0.01)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    with pytest.raises(UnknownWorkspace):
        await life.delete(user_id)
    assert (await store.ensure(user_id)).sandbox_id is None


async def test_what_cannot_be_destroyed_stays_known(store: Workspaces, user_id: UUID, pool: Pool) -> None:
    life = await made(store, Refuses(), user_id, pool)
    with pytest.raises(EngineAway):
        await life.delete(user_id)
    assert (await store.get(user_id)).sandbox_id is not None


async def test_a_list_that_lags_behind_is_not_believed(store: Workspaces, user_id: UUID, pool: Pool) -> None:
    engine = Lists()
    life = await made(store, engine, user_id, pool)
    await life.delete(user_id)
    assert engine.calls.count("kill") == 1
    assert await store.find(user_id) is None
