import uuid
from uuid import UUID

from shmastra_cloud.database import Pool
from shmastra_cloud.workspaces import Activity, Workspaces


def test_reads_count_only_beside_a_visible_page(store: Workspaces) -> None:
    activity, user = Activity(store, 600), uuid.uuid4()
    assert activity.counts(user, "POST")
    assert not activity.counts(user, "GET")
    activity.saw_page(user)
    assert activity.counts(user, "GET")


async def test_a_flush_keeps_awake_who_was_noted_or_streams(
    store: Workspaces, user_id: UUID, pool: Pool
) -> None:
    await store.ensure(user_id)
    activity = Activity(store, 600)
    for note in (lambda: activity.note(user_id, "studio"), lambda: activity.opened(user_id)):
        await pool.execute("update sandboxes set awake_until = now() - interval '1 hour'")
        note()
        await activity.flush()
        assert not (await store.get(user_id)).idle
    activity.closed(user_id)
    await pool.execute("update sandboxes set awake_until = now() - interval '1 hour'")
    await activity.flush()
    assert (await store.get(user_id)).idle


async def test_what_could_not_be_written_is_kept(store: Workspaces, user_id: UUID, pool: Pool) -> None:
    await store.ensure(user_id)
    await pool.execute("update sandboxes set awake_until = now() - interval '1 hour'")
    await pool.execute("alter table sandboxes rename to away")
    activity = Activity(store, 600)
    activity.note(user_id, "studio")
    await activity.flush()
    await pool.execute("alter table away rename to sandboxes")
    await activity.flush()
    assert not (await store.get(user_id)).idle
