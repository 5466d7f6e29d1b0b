from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Attempts, Sessions, Users, make_link
from shmastra_cloud.identity.limit import SignInLimit
from shmastra_cloud.identity.routes import router
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.web_context import WebContext

BOUND = 5


@pytest.fixture
async def here(pool: Pool) -> WebContext:
    context = WebContext(load_settings(), pool, Sessions(pool))
    context.__dict__["attempts"] = Attempts(pool, per_address=BOUND)
    return context


@pytest.fixture
async def browser(here: WebContext) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(router)
    app.state.context = here
    limited: Any = SignInLimit(app, here)  # type: ignore[arg-type]  # FastAPI's types are its own
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(limited), base_url="http://127.0.0.1"
    ) as client:
        yield client


async def test_who_fails_too_often_is_told_to_wait_on_a_plain_page_and_elsewhere_nothing_changes(
    browser: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    token, _ = await make_link(pool, await Users(pool, vault).invite("ann@example.com"))
    told = [(await browser.get(f"/login/link/{number}")).status_code for number in range(2 * BOUND + 1)]
    assert told.count(410) in range(BOUND, 2 * BOUND + 1)
    assert told[-1] == 429
    refused = await browser.post(f"/login/link/{token}")
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert "Too many attempts to sign in" in refused.text
    assert (await browser.get("/")).status_code == 200
    await pool.execute("delete from sign_in_attempts")
    browser.headers["x-forwarded-for"] = "198.51.100.1"  # nobody believes it
    assert (await browser.post(f"/login/link/{token}")).status_code == 429


async def test_what_is_no_way_in_is_no_attempt(browser: httpx.AsyncClient, pool: Pool) -> None:
    for _ in range(2 * BOUND):
        assert (await browser.get("/login/nothing")).status_code == 404
        assert (await browser.put("/login/link/x")).status_code == 405
    assert await pool.fetchval("select count(*) from sign_in_attempts") == 0


async def test_signing_in_is_no_failure_however_often(
    browser: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    user_id = await Users(pool, vault).invite("ann@example.com")
    for _ in range(2 * BOUND):
        token, _ = await make_link(pool, user_id)
        assert (await browser.post(f"/login/link/{token}")).status_code == 303
    assert await pool.fetchval("select count(*) from sign_in_attempts") == 0


async def test_without_the_counter_signing_in_goes_on(
    browser: httpx.AsyncClient, here: WebContext, monkeypatch: pytest.MonkeyPatch, pool: Pool, vault: Vault
) -> None:
    async def away(_address: str) -> None:
        raise OSError("away")

    monkeypatch.setattr(here.attempts, "check", away)
    monkeypatch.setattr(here.attempts, "failed", away)
    assert (await browser.get("/login/link/x")).status_code == 410
    token, _ = await make_link(pool, await Users(pool, vault).invite("ann@example.com"))
    assert (await browser.post(f"/login/link/{token}")).status_code == 303
