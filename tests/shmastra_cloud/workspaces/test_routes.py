import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from tests.doubles.engine import Works

from httprelay import OpenStreams
from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Sessions, User, Users, key_hash
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.web_context import Admitted, WebContext
from shmastra_cloud.workspaces import (
    Activity,
    Resumer,
    Watch,
    WorkspaceParts,
    Workspaces,
    heal_router,
    router,
)
from shmastra_cloud.workspaces.routes import _changes


@pytest.fixture
def parts(store: Workspaces, pool: Pool, vault: Vault) -> WorkspaceParts:
    async def owner(key: str) -> UUID | None:
        return await Users(pool, vault).owner_of_key(key_hash(key))

    watch = Watch(store, lambda: False)
    resumer = Resumer(store, cast("Any", Works()))
    return WorkspaceParts(
        store, watch, resumer, Activity(store, 600), owner, note="a tiny demo model, often wrong"
    )


@pytest.fixture
async def browser(pool: Pool, parts: WorkspaceParts) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(router)
    app.include_router(heal_router)
    app.state.context = WebContext(load_settings(), pool, Sessions(pool))
    app.state.workspaces = parts
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as client:
        yield client


@pytest.fixture
async def ann(browser: httpx.AsyncClient, pool: Pool, user_id: UUID) -> httpx.AsyncClient:
    browser.cookies.set("shmastra_session", await Sessions(pool).start(user_id))
    return browser


async def test_without_a_session_pages_lead_to_sign_in_and_paths_of_the_api_say_401(
    browser: httpx.AsyncClient,
) -> None:
    assert (await browser.get("/workspace")).headers["location"] == "/"
    for path in ("/api/sandbox/status", "/api/sandbox/events"):
        assert (await browser.get(path)).status_code == 401
    assert (await browser.post("/api/sandbox/restart")).status_code == 401


async def test_the_page_shows_the_stages_and_names_the_demo_model(ann: httpx.AsyncClient) -> None:
    shown = await ann.get("/workspace")
    assert shown.status_code == 200
    assert "a tiny demo model" in shown.text
    assert (await ann.get("/api/sandbox/status")).json()["status"] == "provisioning"


async def test_a_ready_workspace_leads_on_but_never_off_this_origin(
    ann: httpx.AsyncClient, pool: Pool
) -> None:
    await ann.get("/workspace")
    await pool.execute("update sandboxes set status = 'ready'")
    assert (await ann.get("/workspace")).headers["location"] == "/studio"
    there = await ann.get("/workspace", params={"returnTo": "/studio/agents"})
    assert there.headers["location"] == "/studio/agents"
    evil = await ann.get("/workspace", params={"returnTo": "//evil.example"})
    assert evil.headers["location"] == "/studio"


async def test_a_change_is_streamed_after_the_present_state(
    parts: WorkspaceParts, store: Workspaces, user_id: UUID
) -> None:
    row = await store.ensure(user_id)
    streams = OpenStreams(_nobody)
    changes = _changes(parts, Admitted(User(user_id, "ann@example.com", "member"), b"s", 0, streams))
    first = json.loads((await anext(changes))["data"])
    assert (first["status"], first["stage"]) == ("provisioning", "queued")
    await store.move(row, "ready", actor="worker", reason="up", under_lease=False)
    async with asyncio.timeout(10):
        second = json.loads((await anext(changes))["data"])
    assert second["status"] == "ready"
    assert [event["to_status"] for event in second["events"]] == ["ready", "provisioning"]


async def test_a_stream_of_changes_ends_as_soon_as_its_session_does(
    parts: WorkspaceParts, store: Workspaces, user_id: UUID
) -> None:
    await store.ensure(user_id)
    streams = OpenStreams(_nobody)
    changes = _changes(parts, Admitted(User(user_id, "ann@example.com", "member"), b"s", 0, streams))
    assert (await anext(changes))["event"] == "status"
    cutting = asyncio.create_task(streams.run())
    streams.ended(b"s")
    async with asyncio.timeout(1):
        assert [one["event"] async for one in changes] == ["signed_out"]
    cutting.cancel()
    assert len(streams) == 0


async def _nobody(_asked: Any) -> list[bytes]:
    return []


async def test_reset_needs_the_email_typed(ann: httpx.AsyncClient, pool: Pool) -> None:
    await ann.get("/workspace")
    await pool.execute("update sandboxes set status = 'ready'")
    wrong = await ann.post("/api/sandbox/reset", json={"confirm": "bob@example.com"})
    assert wrong.status_code == 400
    assert await pool.fetchval("select status from sandboxes") == "ready"
    right = await ann.post("/api/sandbox/reset", json={"confirm": "ann@example.com"})
    assert right.status_code == 202
    assert await pool.fetchval("select reset_wanted from sandboxes")


async def test_a_healer_reports_with_its_own_key_only(
    browser: httpx.AsyncClient, pool: Pool, vault: Vault, user_id: UUID, store: Workspaces
) -> None:
    await store.ensure(user_id)
    key = await Users(pool, vault).virtual_key(user_id)

    async def report(body: Any, token: str = key) -> int:
        headers = {"authorization": f"Bearer {token}"}
        return (await browser.post("/api/sandbox/heal", json=body, headers=headers)).status_code

    assert await report({"status": "healing"}, "vk_wrong") == 401
    assert await report({"status": "healing"}) == 409
    await pool.execute("update sandboxes set status = 'ready'")
    assert await report({"status": "exploded"}) == 400
    assert await report(["rubbish"]) == 400
    assert await report({"status": "broken"}) == 409
    assert await report({"status": "healing", "attempt": 1, "error": "a\x00b"}) == 200
    assert await report({"status": "broken", "attempt": 3, "error": "no luck"}) == 200
    row = await store.get(user_id)
    assert (row.status, row.error) == ("broken", "no luck")


@pytest.fixture
async def report(
    browser: httpx.AsyncClient, pool: Pool, vault: Vault, user_id: UUID, store: Workspaces
) -> Callable[..., Awaitable[int]]:
    """Give what a healer does to report."""
    await store.ensure(user_id)
    key = await Users(pool, vault).virtual_key(user_id)

    async def told(status: str, **more: Any) -> int:
        headers = {"authorization": f"Bearer {key}"}
        body = {"status": status, **more}
        return (await browser.post("/api/sandbox/heal", json=body, headers=headers)).status_code

    return told


@pytest.mark.parametrize(
    ("status", "legal"),
    [
        ("provisioning", set()),
        ("ready", {"ready", "healing"}),
        ("healing", {"healing", "ready", "broken"}),
        ("broken", {"broken", "healing"}),
        ("paused", set()),
    ],
)
async def test_a_healer_changes_only_what_is_its_own(
    report: Callable[..., Awaitable[int]], pool: Pool, status: str, legal: set[str]
) -> None:
    for wanted in ("healing", "ready", "broken"):
        await pool.execute("update sandboxes set status = $1", status)
        assert await report(wanted) == (200 if wanted in legal else 409)
        kept = wanted if wanted in legal else status
        assert await pool.fetchval("select status from sandboxes") == kept


async def test_a_report_that_comes_too_late_takes_nothing_from_the_worker(
    report: Callable[..., Awaitable[int]], pool: Pool, store: Workspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pool.execute("update sandboxes set status = 'healing'")
    ensure = store.ensure

    async def then_taken_over(user_id: UUID) -> Any:
        seen = await ensure(user_id)
        await pool.execute("update sandboxes set status = 'provisioning'")
        return seen

    monkeypatch.setattr(store, "ensure", then_taken_over)
    assert await report("ready") == 409
    assert await pool.fetchval("select status from sandboxes") == "provisioning"


async def test_each_attempt_is_shown_and_has_its_whole_time(
    report: Callable[..., Awaitable[int]], pool: Pool, store: Workspaces, user_id: UUID
) -> None:
    await pool.execute("update sandboxes set status = 'ready'")
    assert await report("healing", attempt=1) == 200
    await pool.execute("update sandboxes set status_since = now() - interval '170 seconds'")
    assert await report("healing", attempt=2) == 200
    row = await store.get(user_id)
    assert row.attempt == 2
    assert await pool.fetchval("select now() - status_since < interval '60 seconds' from sandboxes")
    assert await report("healing", attempt=1) == 200  # an older one, again
    assert (await store.get(user_id)).attempt == 2
    assert await report("broken", attempt=3, error="no moon") == 200
    row = await store.get(user_id)
    assert (row.status, row.attempt, row.error) == ("broken", 3, "no moon")
    assert len(await store.events(row.id)) == 4


@pytest.mark.parametrize("more", [{"attempt": 0}, {"attempt": 4}, {"error": "x" * 4001}, {"attempt": "one"}])
async def test_a_report_out_of_bounds_is_refused(
    report: Callable[..., Awaitable[int]], pool: Pool, more: dict[str, Any]
) -> None:
    await pool.execute("update sandboxes set status = 'ready'")
    assert await report("healing", **more) == 400
    assert await pool.fetchval("select status from sandboxes") == "ready"


async def test_a_healer_that_dies_leaves_the_rest_to_the_worker(
    report: Callable[..., Awaitable[int]], pool: Pool, store: Workspaces
) -> None:
    await pool.execute("update sandboxes set status = 'ready', awake_until = now() + interval '1 hour'")
    await pool.execute("update sandboxes set engine_until = now() + interval '1 hour'")
    await report("healing")
    assert await store.claim("worker") is None
    await pool.execute("update sandboxes set status_since = now() - interval '181 seconds'")
    taken = await store.claim("worker")
    assert taken is not None
    assert taken.status == "healing"
