import asyncio
from typing import Any, cast
from uuid import UUID

import pytest
from tests.doubles.engine import Works

from shmastra_cloud.database import Pool
from shmastra_cloud.workspaces import Access, Resumer, StartFailed, Workspaces, access


class Inside:
    def __init__(self, running: object) -> None:
        pass


@pytest.fixture
def entering(store: Workspaces, monkeypatch: pytest.MonkeyPatch) -> tuple[Access, Works]:
    monkeypatch.setattr(access, "Inside", Inside)  # programs run in real sandboxes, in test_commands.py
    engine = Works()
    return Access(store, cast("Any", engine), Resumer(store, cast("Any", engine)), 3), engine


async def test_it_stays_awake_as_long_as_somebody_is_inside(
    entering: tuple[Access, Works], store: Workspaces, user_id: UUID, pool: Pool
) -> None:
    going_in, engine = entering
    row = await store.ensure(user_id)
    made = await engine.create(row.id, "x")
    await engine.pause(made.id)
    await pool.execute("update sandboxes set status = 'paused', sandbox_id = $1, env_version = 1", made.id)
    async with going_in.held(user_id, "sandbox exec"):
        assert (await store.get(user_id)).status == "ready"
        await pool.execute("update sandboxes set awake_until = now()")
        async with asyncio.timeout(10):
            while not await pool.fetchval("select awake_until > now() from sandboxes"):
                await asyncio.sleep(0.05)
    connects = engine.calls.count("connect")
    await asyncio.sleep(1.2)
    assert engine.calls.count("connect") == connects


async def test_one_that_is_still_being_made_says_so(
    entering: tuple[Access, Works], store: Workspaces, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "PATIENCE_SECONDS", 0.3)
    await store.ensure(user_id)
    with pytest.raises(StartFailed, match="provisioning"):
        async with entering[0].held(user_id, "sandbox exec"):
            pass
