from collections.abc import AsyncIterator

import httpx
import pytest

from shmastra_cloud.admin import manage_router
from shmastra_cloud.app import _control
from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Sessions, Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.web_context import WebContext


@pytest.fixture
async def browser(pool: Pool) -> AsyncIterator[httpx.AsyncClient]:
    app = _control(manage_router)
    app.state.context = WebContext(load_settings(), pool, Sessions(pool))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cloud") as client:
        yield client


async def sign_in(browser: httpx.AsyncClient, pool: Pool, vault: Vault, *, admin: bool) -> None:
    user_id = await Users(pool, vault).invite("ann@example.com", admin=admin)
    browser.cookies.set("shmastra_session", await Sessions(pool).start(user_id))


async def test_the_command_line_sets_rules(admin: httpx.AsyncClient) -> None:
    await admin.post("/users", json={"email": "ann@example.com"})
    everyone = await admin.put("/models", json={"patterns": ["anthropic/*"]})
    assert everyone.json()["patterns"] == ["anthropic/*"]
    assert (await admin.get("/models")).json() == everyone.json()
    mine = await admin.put("/users/ann@example.com/models", json={"patterns": ["!anthropic/*-opus-*"]})
    assert (mine.json()["allowed"], mine.json()["excluded"]) == (["anthropic/*"], ["anthropic/*-opus-*"])
    assert (await admin.get("/users/ann@example.com/models")).json() == mine.json()


async def test_what_cannot_be_meant_is_refused(admin: httpx.AsyncClient) -> None:
    for answer, status, code in (
        (await admin.get("/users/no@one.com/models"), 404, "unknown_user"),
        (await admin.put("/users/no@one.com/models", json={"patterns": []}), 404, "unknown_user"),
        (await admin.put("/models", json={"patterns": ["gpt-5"]}), 400, "bad_pattern"),
        (await admin.put("/models", json={"patterns": ["x/" + "y" * 400]}), 400, "bad_request"),
        (await admin.put("/models", json={}), 400, "bad_request"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_an_admin_does_the_same_in_a_browser_and_nobody_else(
    browser: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    paths = ["/api/manage/models", "/api/manage/users/ann@example.com/models"]
    for path in paths:
        assert (await browser.get(path)).status_code == 401
    await sign_in(browser, pool, vault, admin=False)
    for path in paths:
        assert (await browser.get(path)).status_code == 404
        assert (await browser.put(path, json={"patterns": ["*"]})).json()["code"] == "not_found"
    assert await pool.fetchval("select count(*) from model_rules") == 0
    await pool.execute("update users set role = 'admin'")
    browser.cookies.clear()
    await sign_in(browser, pool, vault, admin=True)
    for path in paths:
        answer = await browser.put(path, json={"patterns": ["openai/*"]})
        assert answer.status_code == 200
        assert (await browser.get(path)).json() == answer.json()
