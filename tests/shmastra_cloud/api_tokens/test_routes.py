import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import httpx
import pytest

from shmastra_cloud.api_tokens import Logins, Tokens, logins
from shmastra_cloud.api_tokens.routes import TokenParts, router
from shmastra_cloud.app import _control
from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Sessions, Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.web_context import WebContext


@dataclass
class Cloud:
    terminal: httpx.AsyncClient
    browser: httpx.AsyncClient
    ann: UUID


@pytest.fixture
async def cloud(pool: Pool, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    monkeypatch.setattr(logins, "INTERVAL_SECONDS", 0)
    app, sessions = _control(router), Sessions(pool)
    app.state.context = WebContext(load_settings(), pool, sessions)
    app.state.api_tokens = TokenParts(Tokens(pool), Logins(pool))
    transport = httpx.ASGITransport(app, client=("10.0.0.1", 1))
    ann = await Users(pool, vault).invite("ann@example.com", admin=True)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as terminal,
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as browser,
    ):
        browser.cookies.set("shmastra_session", await sessions.start(ann))
        yield Cloud(terminal, browser, ann)


async def test_a_command_line_is_let_in_by_an_admin_who_sees_what_it_is(cloud: Cloud, pool: Pool) -> None:
    begun = (await cloud.terminal.post("/api/login/device", json={"name": "laptop", "days": 7})).json()
    assert begun["verification_uri"] == "http://127.0.0.1:3000/manage/login"
    asked = {"device_code": begun["device_code"]}
    pending = await cloud.terminal.post("/api/login/token", json=asked)
    assert (pending.status_code, pending.json()["code"]) == (400, "authorization_pending")
    shown = await cloud.browser.post("/manage/login", data={"code": begun["user_code"]})
    for told in ("laptop", "10.0.0.1", "7 days"):
        assert told in shown.text
    answer = {"code": begun["user_code"], "answer": "allow"}
    done = await cloud.browser.post("/manage/login/decide", data=answer)
    assert "laptop is logged in" in done.text
    made = (await cloud.terminal.post("/api/login/token", json=asked)).json()
    assert (made["token_type"], made["email"], made["name"]) == ("Bearer", "ann@example.com", "laptop")
    mine = await cloud.browser.get("/manage/login")
    assert "laptop" in mine.text
    assert made["access_token"] not in mine.text
    for _ in range(2):
        gone = await cloud.browser.post("/manage/login/revoke", data={"token": made["id"]})
        assert (gone.status_code, gone.headers["location"]) == (303, "/manage/login")
    assert await Tokens(pool).all() == []
    assert await pool.fetchval("select count(*) from audit_log where action = 'token.revoke'") == 1


async def test_what_is_refused_or_unknown_is_said(cloud: Cloud) -> None:
    begun = (await cloud.terminal.post("/api/login/device", json={"name": "laptop"})).json()
    refuse = {"code": begun["user_code"], "answer": "refuse"}
    assert "was refused" in (await cloud.browser.post("/manage/login/decide", data=refuse)).text
    denied = await cloud.terminal.post("/api/login/token", json={"device_code": begun["device_code"]})
    assert (denied.status_code, denied.json()["code"]) == (400, "access_denied")
    for path, data in (("/manage/login", {"code": "<b>"}), ("/manage/login/decide", refuse)):
        answer = await cloud.browser.post(path, data=data)
        assert (answer.status_code, "Codes last ten minutes" in answer.text) == (404, True)
    for name in ("", "x" * 65, "a\nb", "<script>", "\u202e"):
        assert (await cloud.terminal.post("/api/login/device", json={"name": name})).status_code == 400
    assert (
        await cloud.terminal.post("/api/login/device", json={"name": "a", "days": 400})
    ).status_code == 400


async def test_nobody_but_an_admin_sees_the_page_or_lets_anything_in(cloud: Cloud, pool: Pool) -> None:
    begun = (await cloud.terminal.post("/api/login/device", json={"name": "laptop"})).json()
    posts = {
        "/manage/login": {"code": begun["user_code"]},
        "/manage/login/decide": {"code": begun["user_code"], "answer": "allow"},
        "/manage/login/revoke": {"token": str(cloud.ann)},
    }
    away = await cloud.terminal.get("/manage/login")
    assert (away.status_code, away.headers["location"]) == (302, "/")
    for path, data in posts.items():
        assert (await cloud.terminal.post(path, data=data)).status_code == 401
    await pool.execute("update users set role = 'member'")
    assert (await cloud.browser.get("/manage/login")).status_code == 404
    for path, data in posts.items():
        assert (await cloud.browser.post(path, data=data)).status_code == 404
    assert not re.search(
        "Allow", (await cloud.browser.post("/manage/login", data=posts["/manage/login"])).text
    )


async def test_too_many_log_ins_are_refused_for_a_while(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "WAITING", 0)
    answer = await cloud.terminal.post("/api/login/device", json={"name": "laptop"})
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_logins")
    assert answer.headers["retry-after"] == "600"
