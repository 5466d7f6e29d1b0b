import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from tests.doubles.engine import Works

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Sessions, Users, key_hash
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.web_context import WebContext
from shmastra_cloud.workspaces import (
    Activity,
    Resumer,
    Watch,
    WorkspaceParts,
    Workspaces,
    heal_router,
    router,
)
from shmastra_cloud.workspaces.routes import _changes, safe_return


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


@pytest.mark.parametrize(
    "wanted",
    [
        "//e.x",
        "/\\e.x",
        "/\t/e.x",
        "https://e.x",
        "/studio\r\nx: y",
        "/studio/../x",
        "/studio/%2e%2e/x",
        "javascript:alert(1)",
        "/studio@e.x",
        "/api/gateway/x",
        "/studio\n",
        "",
    ],
)
def test_a_return_path_that_could_lead_away_leads_to_studio(wanted: str) -> None:
    assert safe_return(wanted) == "/studio"


async def test_a_change_is_streamed_after_the_present_state(
    parts: WorkspaceParts, store: Workspaces, user_id: UUID
) -> None:
    row = await store.ensure(user_id)
    changes = _changes(parts, user_id)
    first = json.loads((await anext(changes))["data"])
    assert (first["status"], first["stage"]) == ("provisioning", "queued")
    await store.move(row, "ready", actor="worker", reason="up", under_lease=False)
    async with asyncio.timeout(10):
        second = json.loads((await anext(changes))["data"])
    assert second["status"] == "ready"
    assert [event["to_status"] for event in second["events"]] == ["ready", "provisioning"]


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
