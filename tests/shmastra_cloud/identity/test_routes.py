import re
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Device, Sessions, Users, make_link, session_hash
from shmastra_cloud.identity.routes import router
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import Settings
from shmastra_cloud.web_context import WebContext


@pytest.fixture
async def browser(pool: Pool) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(router)
    app.state.context = WebContext(Settings(), pool, Sessions(pool))  # type: ignore[call-arg]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:3000"
    ) as client:
        yield client


async def test_a_link_signs_in_once_and_logout_ends_it(
    browser: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    token, _ = await make_link(pool, await Users(pool, vault).invite("ann@example.com"))
    for _ in range(2):
        shown = await browser.get(f"/login/link/{token}")
        assert (shown.status_code, shown.text.count("<button")) == (200, 1)
    used = await browser.post(f"/login/link/{token}")
    assert (used.status_code, used.headers["location"]) == (303, "/workspace")
    cookie = used.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert (await browser.get("/")).headers["location"] == "/workspace"
    assert (await browser.get("/api/me")).json()["email"] == "ann@example.com"
    for method in ("GET", "POST"):
        again = await browser.request(method, f"/login/link/{token}")
        assert again.status_code == 410
        assert "no longer works" in again.text
    assert (await browser.post("/logout")).headers["location"] == "/"
    assert (await browser.get("/api/me")).status_code == 401
    assert (await browser.get("/")).status_code == 200


async def test_a_user_sees_where_he_is_signed_in_and_ends_what_he_likes(
    browser: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    users, sessions = Users(pool, vault), Sessions(pool)
    ann, bob = [await users.invite(email) for email in ("ann@example.com", "bob@example.com")]
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    own = await sessions.start(ann, device=Device("192.0.2.7", firefox))
    other = await sessions.start(ann, device=Device("198.51.100.9", "<script>alert(1)</script>"))
    bobs = await sessions.start(bob, device=Device("203.0.113.1", "curl/8"))
    signed_out = await browser.get("/sessions")
    assert (signed_out.status_code, signed_out.headers["location"]) == (302, "/")
    browser.cookies.clear()
    browser.cookies.set("shmastra_session", own)
    text = (await browser.get("/sessions")).text
    assert "Firefox on Linux · this browser" in text
    assert "192.0.2.7 · one-time link" in text
    assert "198.51.100.9" in text
    assert "203.0.113.1" not in text
    assert "<script>alert(1)" not in text
    for one in await sessions.of(ann) + await sessions.of(bob):
        if bytes(one["token_hash"]) != session_hash(own):
            ended = await browser.post(f"/sessions/{one['id']}/end")
            assert (ended.status_code, ended.headers["location"]) == (303, "/sessions")
    assert await Sessions(pool).user(other) is None
    assert await Sessions(pool).user(own)
    assert await Sessions(pool).user(bobs), "ann has ended a session of bob's"


async def test_a_sign_out_everywhere_ends_every_session(
    browser: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    user_id, sessions = await Users(pool, vault).invite("ann@example.com"), Sessions(pool)
    tokens = [await sessions.start(user_id) for _ in range(3)]
    browser.cookies.set("shmastra_session", tokens[0])
    assert (await browser.post("/logout")).headers["location"] == "/"
    browser.cookies.set("shmastra_session", tokens[1])
    assert await Sessions(pool).user(tokens[2])
    answer = await browser.post("/logout?everywhere=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert await Sessions(pool).user(tokens[2]) is None


async def test_where_somebody_wanted_to_go_is_kept_until_he_has_signed_in(
    browser: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    token, _ = await make_link(pool, await Users(pool, vault).invite("ann@example.com"))
    away = await browser.get("/sessions?x=1")
    assert away.headers["location"] == "/"
    assert 'name="returnTo"' not in (await browser.get("/")).text  # no way to hand it to
    back = await browser.post(f"/login/link/{token}")
    assert back.headers["location"] == "/sessions?x=1"
    assert "shmastra_return" not in browser.cookies
    assert (await browser.get("/", params={"returnTo": "/usage"})).headers["location"] == "/usage"
    assert (await browser.get("/", params={"returnTo": "//e.x"})).headers["location"] == "/workspace"


async def test_pages_allow_no_script_but_their_own(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


class Counter:
    """Remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask(self, email: str) -> None:
        self.asked.append(email)


async def test_a_link_is_asked_for_and_the_answer_tells_nothing_of_who_is_a_user(
    browser: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    assert "/login/mail" not in (await browser.get("/")).text
    assert (await browser.post("/login/mail", data={"email": "a@b.c"})).status_code == 404
    app, counter = browser._transport.app, Counter()  # type: ignore[attr-defined]
    app.state.context = replace(app.state.context, post=counter)
    await Users(pool, vault).invite("ann@example.com")
    assert "/login/mail" in (await browser.get("/")).text
    answers = [
        await browser.post("/login/mail", data={"email": email})
        for email in ("ann@example.com", "nobody@example.com", "<script>alert(1)</script>")
    ]
    assert {answer.status_code for answer in answers} == {202}
    assert len({re.sub('nonce="[^"]*"', "", answer.text) for answer in answers}) == 1
    assert await pool.fetchval("select attempts from sign_in_attempts where address <> '*'") == 3
    assert counter.asked == ["ann@example.com", "nobody@example.com", "<script>alert(1)</script>"]
    for wrong in ({}, {"email": "x" * 400}):
        assert (await browser.post("/login/mail", data=wrong)).status_code == 422


async def test_with_a_provider_a_link_is_good_for_admins_only(
    browser: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    app, users = browser._transport.app, Users(pool, vault)  # type: ignore[attr-defined]
    settings = app.state.context.settings.model_copy(update={"sign_in": "oidc"})
    app.state.context = replace(app.state.context, settings=settings)
    for email, admin, status in (("bob@example.com", False, 410), ("ann@example.com", True, 200)):
        token, _ = await make_link(pool, await users.invite(email, admin=admin))
        assert (await browser.get(f"/login/link/{token}")).status_code == status
        used = await browser.post(f"/login/link/{token}")
        assert used.status_code == (303 if admin else 410)
