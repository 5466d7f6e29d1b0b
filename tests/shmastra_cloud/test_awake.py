from uuid import UUID

from shmastra_cloud.database import Pool
from shmastra_cloud.workspaces import Awake, Workspaces


async def test_a_disabled_user_keeps_nothing_awake_but_an_admin_may(
    store: Workspaces, user_id: UUID, pool: Pool
) -> None:
    await store.ensure(user_id)
    await pool.execute("update users set disabled_at = now()")
    await pool.execute("update sandboxes set awake_until = now()")
    awake = Awake(pool)
    await awake.keep_awake({user_id: "a model call"}, 60, only_enabled=True)
    assert not await pool.fetchval("select awake_until > now() from sandboxes")
    await awake.keep_awake({user_id: "sandbox exec"}, 60)
    assert await pool.fetchval("select awake_until > now() from sandboxes")
