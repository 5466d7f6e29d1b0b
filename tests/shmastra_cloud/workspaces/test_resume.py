import asyncio
from typing import Any, cast
from uuid import UUID

from tests.doubles.engine import Works

from shmastra_cloud.database import Pool
from shmastra_cloud.workspaces import Resumer, Workspaces


async def paused(store: Workspaces, engine: Works, user_id: UUID, pool: Pool) -> None:
    row = await store.ensure(user_id)
    made = await engine.create(row.id, "x")
    await engine.pause(made.id)
    await pool.execute("update sandboxes set status = 'paused', sandbox_id = $1, env_version = 1", made.id)


async def test_many_requests_resume_it_once(store: Workspaces, user_id: UUID, pool: Pool) -> None:
    engine = Works()
    await paused(store, engine, user_id, pool)
    resumer = Resumer(store, cast("Any", engine))
    await asyncio.gather(*(resumer.resume(user_id, "a request") for _ in range(8)))
    assert (await store.get(user_id)).status == "ready"
    assert engine.calls.count("connect") == 1


async def test_what_cannot_be_resumed_in_place_goes_to_the_worker(
    store: Workspaces, user_id: UUID, pool: Pool
) -> None:
    engine = Works()
    await paused(store, engine, user_id, pool)
    engine.sandboxes.clear()
    await Resumer(store, cast("Any", engine)).resume(user_id, "a request")
    row = await store.get(user_id)
    assert row.status == "provisioning"
    assert (await store.events(row.id))[0]["reason"] == "the sandbox was gone"
    assert await store.claim("worker") is not None


async def test_changed_settings_go_to_the_worker_too(store: Workspaces, user_id: UUID, pool: Pool) -> None:
    engine = Works()
    await paused(store, engine, user_id, pool)
    await pool.execute("update sandboxes set wanted_env_version = 2")
    await Resumer(store, cast("Any", engine)).resume(user_id, "a request")
    assert (await store.get(user_id)).status == "provisioning"


async def test_a_sandbox_that_vanished_while_it_answered_goes_to_the_worker(
    store: Workspaces, user_id: UUID, pool: Pool
) -> None:
    engine = Works()
    row = await store.ensure(user_id)
    await engine.create(row.id, "x")
    await pool.execute("update sandboxes set status = 'ready', sandbox_id = 'sb1', env_version = 1")
    resumer = Resumer(store, cast("Any", engine))
    for there, status in ((True, "ready"), (False, "provisioning")):
        if not there:
            engine.sandboxes.clear()
        resumer.look_after(await store.get(user_id))
        await asyncio.gather(*resumer._beside)
        assert (await store.get(user_id)).status == status
    assert (await store.events(row.id))[0]["reason"] == "the sandbox was gone"
