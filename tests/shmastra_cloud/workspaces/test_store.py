import asyncio
import datetime as dt
from uuid import UUID

import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.workspaces import IllegalTransition, LeaseLost, Workspaces


async def test_a_workspace_is_wanted_once_however_many_ask(store: Workspaces, user_id: UUID) -> None:
    rows = await asyncio.gather(*(store.ensure(user_id) for _ in range(6)))
    assert len({row.id for row in rows}) == 1
    assert rows[0].status == "provisioning"
    [event] = await store.events(rows[0].id)
    assert (event["from_status"], event["to_status"]) == (None, "provisioning")


async def test_a_row_is_claimed_by_one_until_the_lease_runs_out(
    store: Workspaces, user_id: UUID, pool: Pool
) -> None:
    await store.ensure(user_id)
    claims = await asyncio.gather(*(store.claim(f"w{i}") for i in range(4)))
    [mine] = [claim for claim in claims if claim is not None]
    assert await store.claim("other") is None
    await pool.execute("update sandboxes set lease_until = now() - interval '1 second'")
    theirs = await store.claim("other")
    assert theirs is not None
    assert theirs.fence == mine.fence + 1
    for act in (store.renew(mine), store.stage(mine, "starting"), store.located(mine, "s", None, None)):
        with pytest.raises(LeaseLost):
            await act
    with pytest.raises(LeaseLost):
        await store.move(mine, "ready", actor="w", reason="late")
    await store.move(theirs, "ready", actor="w", reason="in time")
    assert (await store.get(user_id)).status == "ready"


async def test_a_row_that_is_given_back_late_is_left_alone(store: Workspaces, user_id: UUID) -> None:
    await store.ensure(user_id)
    mine = await store.claim("w")
    assert mine is not None
    await store.release(mine, dt.timedelta(seconds=60))
    assert await store.claim("w") is None
    await store.release(mine)
    assert await store.claim("w") is not None


async def test_an_illegal_change_changes_nothing_and_leaves_no_event(
    store: Workspaces, user_id: UUID
) -> None:
    row = await store.ensure(user_id)
    with pytest.raises(IllegalTransition):
        await store.move(row, "paused", actor="w", reason="no", under_lease=False)
    assert (await store.get(user_id)).status == "provisioning"
    assert len(await store.events(row.id)) == 1


async def test_activity_forbids_pausing_and_is_written_for_many_at_once(
    store: Workspaces, user_id: UUID, pool: Pool
) -> None:
    row = await store.ensure(user_id)
    await store.move(row, "ready", actor="w", reason="up", under_lease=False)
    await pool.execute("update sandboxes set awake_until = now() - interval '1 second', env_version = 1")
    idle = await store.claim("w")
    assert idle is not None
    assert idle.idle
    await store.keep_awake({user_id: "studio"}, 60)
    assert not await store.move(idle, "paused", actor="w", reason="idle", only_idle=True)
    assert (await store.get(user_id)).status == "ready"


async def test_tokens_stand_sealed_in_the_row(store: Workspaces, user_id: UUID, pool: Pool) -> None:
    await store.ensure(user_id)
    mine = await store.claim("w")
    assert mine is not None
    await store.located(mine, "sb1", "example.dev", "traffic-secret")
    row = await store.get(user_id)
    assert (row.sandbox_id, row.sandbox_host, row.traffic_token) == ("sb1", "example.dev", "traffic-secret")
    text = await pool.fetchval("select sandboxes::text from sandboxes")
    for secret in ("traffic-secret", row.mastra_token):
        assert secret not in text
        assert secret.encode().hex() not in text
