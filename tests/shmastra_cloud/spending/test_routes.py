import datetime as dt
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from tests.shmastra_cloud.spending.test_days import used

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Sessions, Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.spending import Budget, Days, SpendingParts, router
from shmastra_cloud.web_context import WebContext

HOSTILE = "<script>alert(1)</script>"


async def budgets(user_id: UUID | None) -> Sequence[Budget]:
    whose = "Everyone's month" if user_id is None else "Your month"
    return [Budget(whose, Decimal(20), Decimal("12.5"), dt.datetime(2026, 12, 1, tzinfo=dt.UTC))]


@pytest.fixture
async def browser(pool: Pool) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(router)
    app.state.context = WebContext(load_settings(), pool, Sessions(pool))
    app.state.spending = SpendingParts(Days(pool), budgets)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as client:
        yield client


async def enter(browser: httpx.AsyncClient, pool: Pool, vault: Vault, email: str, *, admin: bool) -> UUID:
    user = await Users(pool, vault).invite(email, admin=admin)
    browser.cookies.set("shmastra_session", await Sessions(pool).start(user))
    return user


async def test_a_user_sees_what_he_used_and_nothing_of_others(
    browser: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    bob = await Users(pool, vault).invite("bob@example.com")
    ann = await enter(browser, pool, vault, "ann@example.com", admin=False)
    await used(pool, bob, "bobs-model", "9")
    await used(pool, ann, "gpt-5", "1.25")
    await used(pool, ann, HOSTILE, None)
    shown = (await browser.get("/usage")).text
    assert "$1.25" in shown
    assert "1 without a price" in shown
    assert "Your month: <strong>$12.50</strong> of $20.00" in shown
    assert "bobs-model" not in shown
    assert HOSTILE not in shown
    assert "/manage/usage" not in shown
    assert (await browser.get("/manage/usage")).status_code == 404


async def test_an_admin_sees_who_used_what(browser: httpx.AsyncClient, pool: Pool, vault: Vault) -> None:
    bob = await Users(pool, vault).invite("bob@example.com")
    await enter(browser, pool, vault, "ann@example.com", admin=True)
    await used(pool, bob, "bobs-model", "9", ago=20)
    shown = (await browser.get("/manage/usage")).text
    assert "bob@example.com" in shown
    assert "Everyone&#39;s month" in shown
    assert "Nothing was used in the last 7 days" in (await browser.get("/manage/usage?days=7")).text


async def test_usage_without_a_price_is_shown_in_tokens(
    browser: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    ann = await enter(browser, pool, vault, "ann@example.com", admin=False)
    await used(pool, ann, "own-model", None)
    shown = (await browser.get("/usage")).text
    assert "no price" in shown
    assert "tokens by day" in shown


async def test_strangers_are_sent_to_sign_in_and_odd_periods_refused(
    browser: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    for path in ("/usage", "/manage/usage"):
        assert (await browser.get(path)).headers["location"] == "/"
    await enter(browser, pool, vault, "ann@example.com", admin=False)
    assert (await browser.get("/usage?days=100000")).status_code == 422
    assert "Nothing was used" in (await browser.get("/usage?days=90&measure=tokens")).text
