import asyncio
from uuid import UUID

from shmastra_cloud.database import Pool
from shmastra_cloud.workspaces import Watch, Workspaces


async def test_a_cached_row_is_dropped_by_its_notification(
    store: Workspaces, user_id: UUID, pool: Pool
) -> None:
    watch = Watch(store, lambda: True)
    await store.ensure(user_id)
    assert await watch.find(user_id) is await watch.find(user_id)
    await pool.execute("update sandboxes set status = 'ready'")
    cached = await watch.find(user_id)
    assert cached is not None
    assert cached.status == "provisioning"
    watch.changed(str(user_id))
    fresh = await watch.find(user_id)
    assert fresh is not None
    assert fresh.status == "ready"


async def test_without_notifications_every_look_is_a_query(
    store: Workspaces, user_id: UUID, pool: Pool
) -> None:
    watch = Watch(store, lambda: False)
    await store.ensure(user_id)
    await watch.find(user_id)
    await pool.execute("update sandboxes set status = 'ready'")
    fresh = await watch.find(user_id)
    assert fresh is not None
    assert fresh.status == "ready"


async def test_a_waiter_is_woken_by_a_change_and_by_nothing_else(store: Workspaces, user_id: UUID) -> None:
    watch = Watch(store, lambda: True)
    assert not await watch.wait(user_id, 0.05)
    waiting = asyncio.create_task(watch.wait(user_id, 20))
    await asyncio.sleep(0)
    watch.changed(str(user_id))
    assert await waiting
