from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import pytest
from tests.shmastra_cloud.spending.test_days import used
from tests.shmastra_cloud.spending.test_routes import enter

from shmastra_cloud.app import _budgets, _control
from shmastra_cloud.budgets import BudgetParts, Budgets, Change, router
from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Sessions
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.spending import Days
from shmastra_cloud.web_context import WebContext


@pytest.fixture
async def browser(pool: Pool) -> AsyncIterator[httpx.AsyncClient]:
    app = _control(router)
    app.state.context = WebContext(load_settings(), pool, Sessions(pool))
    app.state.budgets = BudgetParts(Budgets(pool), Days(pool))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as client:
        yield client


async def test_a_user_learns_what_he_used_and_what_is_left(
    browser: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    assert (await browser.get("/api/me/usage")).status_code == 401
    ann = await enter(browser, pool, vault, "ann@example.com", admin=True)
    await Budgets(pool).change("ann@example.com", Change(usd_per_month=Decimal(10)))
    await used(pool, ann, "gpt-5", "1.25")
    await used(pool, ann, "no-such-model", None)
    found = (await browser.get("/api/me/usage")).json()
    assert set(found) == {"budget", "day", "month", "by_model", "by_day"}
    assert found["budget"]["usd_per_month"]["limit"] == 10
    assert found["budget"]["organization"] == {}
    assert found["month"]["cost_usd"] == 1.25
    assert (found["month"]["requests"], found["month"]["unpriced_requests"]) == (2, 1)
    assert found["day"] == found["month"]
    assert sorted(one["cost_usd"] for one in found["by_model"]) == [0, 1.25]
    [day] = found["by_day"]
    assert {**day, "day": None} == {**found["day"], "day": None}
    [shown] = await _budgets(Budgets(pool), ann)
    assert (shown.name, shown.limit) == ("Your month", 10)
    assert await _budgets(Budgets(pool), None) == []
