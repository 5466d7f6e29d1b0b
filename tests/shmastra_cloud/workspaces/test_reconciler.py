import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from tests.doubles.engine import Bad, Forgets, Never, Works

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.workspaces import Reconciler, Workspaces, reconciler


@asynccontextmanager
async def working(store: Workspaces, engine: Any) -> AsyncIterator[None]:
    async def key(_user: UUID) -> str:
        return "vk_test"

    async def further() -> list[str]:
        return ["acme"]

    worker = Reconciler(store, engine, key, "http://127.0.0.1:4000", "v1", further_providers=further)
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(store: Workspaces, user_id: UUID, status: str) -> None:
    async with asyncio.timeout(30):
        while (await store.get(user_id)).status != status:
            await asyncio.sleep(0.02)


async def test_a_wanted_workspace_becomes_ready_with_its_own_env(store: Workspaces, user_id: UUID) -> None:
    engine = Works()
    await store.ensure(user_id)
    async with working(store, engine):
        await until(store, user_id, "ready")
    row = await store.get(user_id)
    assert row.sandbox_id is not None
    assert "OPENAI_API_KEY=vk_test" in engine.env[row.sandbox_id]
    assert "ACME_BASE_URL=http://127.0.0.1:4000/api/gateway/acme/v1\n" in engine.env[row.sandbox_id]
    assert f"MASTRA_AUTH_TOKEN={row.mastra_token}" in engine.env[row.sandbox_id]
    assert (row.version, row.env_version) == ("v1", row.wanted_env_version)


async def test_an_idle_workspace_is_paused(store: Workspaces, user_id: UUID, pool: Pool) -> None:
    engine = Works()
    await store.ensure(user_id)
    await store.keep_awake({user_id: "test"}, 60)
    async with working(store, engine):
        await until(store, user_id, "ready")
        assert not engine.paused
        await pool.execute("update sandboxes set awake_until = now() - interval '1 second'")
        await until(store, user_id, "paused")
        async with asyncio.timeout(10):
            while not engine.paused:
                await asyncio.sleep(0.02)


async def test_a_sandbox_whose_making_was_not_recorded_is_found_again(
    store: Workspaces, user_id: UUID
) -> None:
    engine = Forgets()
    await store.ensure(user_id)
    await store.keep_awake({user_id: "test"}, 60)
    async with working(store, engine):
        await until(store, user_id, "ready")
    assert len(engine.sandboxes) == 1


async def test_three_failures_break_it_and_a_retry_mends_it(store: Workspaces, user_id: UUID) -> None:
    await store.ensure(user_id)
    await store.keep_awake({user_id: "test"}, 60)
    async with working(store, Bad()):
        await until(store, user_id, "broken")
    row = await store.get(user_id)
    assert row.error is not None
    assert "on fire" in row.error
    assert len(await store.events(row.id)) == 4
    await store.move(row, "provisioning", actor="ann", reason="retry", under_lease=False)
    async with working(store, Works()):
        await until(store, user_id, "ready")


async def test_a_dev_server_that_never_answers_ends_in_broken(
    store: Workspaces, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "ATTEMPT_SECONDS", 0.2)
    engine = Never()
    await store.ensure(user_id)
    async with working(store, engine):
        await until(store, user_id, "broken")
    assert len(engine.sandboxes) == 1


async def test_what_a_dev_server_said_at_last_is_shown_without_its_keys(
    store: Workspaces, user_id: UUID, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reconciler, "HEALTHY_SECONDS", 0.2)
    await store.ensure(user_id)
    async with working(store, Never()):
        await until(store, user_id, "broken")
    row = await store.get(user_id)
    assert row.error is not None
    assert "no such package" in row.error
    assert "OPENAI_API_KEY=[hidden]" in row.error
    assert "vk_test" not in row.error
    assert row.mastra_token not in row.error
    assert "no such package" not in caplog.text
    assert all("\n" not in event["reason"] for event in await store.events(row.id))


async def test_a_worker_that_died_is_followed_by_another(
    store: Workspaces, user_id: UUID, pool: Pool
) -> None:
    engine = Works()
    await store.ensure(user_id)
    dead = await store.claim("dead")
    assert dead is not None
    made = await engine.create(dead.id, "x")
    await pool.execute("update sandboxes set lease_until = now() - interval '1 second'")
    async with working(store, engine):
        await until(store, user_id, "ready")
    assert list(engine.sandboxes) == [made.id]


async def test_a_reset_begins_with_another_sandbox(store: Workspaces, user_id: UUID) -> None:
    engine = Works()
    await store.ensure(user_id)
    await store.keep_awake({user_id: "test"}, 60)
    async with working(store, engine):
        await until(store, user_id, "ready")
        first = await store.get(user_id)
        await store.want_reset(first)
        await store.move(first, "provisioning", actor="ann", reason="reset", under_lease=False)
        await until(store, user_id, "ready")
    second = await store.get(user_id)
    assert second.sandbox_id != first.sandbox_id
    assert list(engine.sandboxes) == [second.sandbox_id]


async def test_a_workspace_whose_token_does_not_open_holds_up_no_other(
    store: Workspaces, user_id: UUID, pool: Pool, vault: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    other = await Users(pool, vault).invite("bob@example.com")
    await store.ensure(other)
    await store.ensure(user_id)
    await pool.execute(
        "update sandboxes set mastra_token = $2, status_since = now() - interval '1 hour' where user_id = $1",
        other,
        Vault(b"o" * 32).seal("x", "sandboxes.mastra_token"),
    )
    async with working(store, Works()):
        await until(store, user_id, "ready")
    assert "a workspace is left alone: A stored secret is sealed under the master key" in caplog.text
