from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from shmastra_cloud.admin import AdminParts, router
from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users, spend_link
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.workspaces import Workspaces


@pytest.fixture
async def admin(pool: Pool, vault: Vault) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(router)
    app.state.admin = AdminParts(load_settings(), pool, Users(pool, vault), Workspaces(pool, vault))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://admin") as client:
        yield client


async def test_an_invitation_gives_a_link_that_works(admin: httpx.AsyncClient, pool: Pool) -> None:
    link = (await admin.post("/users", json={"email": "Ann@example.com", "admin": True})).json()
    assert set(link) == {"email", "url", "expires_at"}
    assert link["url"].startswith("http://127.0.0.1:3000/login/link/")
    assert await spend_link(pool, link["url"].rsplit("/", 1)[1])
    [row] = (await admin.get("/users")).json()
    assert (row["email"], row["role"], row["disabled_at"]) == ("ann@example.com", "admin", None)


async def test_what_does_not_exist_is_said_so(admin: httpx.AsyncClient) -> None:
    for path in ("/users/no@one.com/link", "/users/no@one.com/disable", "/users/no@one.com/rotate-key"):
        assert (await admin.post(path)).status_code == 404
    assert (await admin.get("/sandboxes/none")).status_code == 404
    assert (await admin.post("/users", json={"email": "rubbish"})).status_code == 422
    assert (await admin.get("/usage?by=moon")).status_code == 400


async def test_a_sandbox_is_shown_with_its_events_and_restarted(
    admin: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    await Workspaces(pool, vault).ensure(await Users(pool, vault).invite("ann@example.com"))
    await pool.execute("update sandboxes set status = 'broken'")
    assert [row["status"] for row in (await admin.get("/sandboxes")).json()] == ["broken"]
    assert (await admin.post("/sandboxes/ann@example.com/restart")).status_code == 200
    shown = (await admin.get("/sandboxes/ann@example.com")).json()
    assert shown["status"] == "provisioning"
    assert shown["events"][0]["actor"] == "admin"


async def test_a_disabled_user_is_shown_so_and_comes_back(admin: httpx.AsyncClient) -> None:
    await admin.post("/users", json={"email": "ann@example.com"})
    await admin.post("/users/ann@example.com/disable")
    assert (await admin.get("/users")).json()[0]["disabled_at"]
    await admin.post("/users/ann@example.com/enable")
    assert (await admin.get("/users")).json()[0]["disabled_at"] is None
    assert (await admin.post("/users/ann@example.com/rotate-key")).status_code == 200
    assert (await admin.get("/usage")).json() == []
