import httpx
import pytest
from tests.shmastra_cloud.identity.workos.conftest import Cloud, at_workos

from shmastra_cloud.identity.workos import workos_ways
from shmastra_cloud.settings import Settings
from shmastra_cloud.web_context import WebContext


async def test_the_same_person_is_the_same_user_each_time_and_an_old_session_ends(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        first, token = await cloud.who(browser), browser.cookies["shmastra_session"]
        cloud.double.users[user]["email"] = "ann.new@example.com"
        await cloud.sign_in(browser, "ann.new@example.com")
        second = await cloud.who(browser)
        assert first is not None
        assert second is not None
        assert (first.id, second.email) == (second.id, "ann.new@example.com")
        assert await cloud.sessions.user(token) is None


async def test_whom_an_admin_has_disabled_is_refused(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        await cloud.users.set_disabled("ann@example.com", disabled=True)
        answer = await cloud.sign_in(browser, "ann@example.com")
        assert answer.status_code == 403
        assert "An admin of this cloud has disabled you" in answer.text


async def test_under_https_what_the_browser_carries_is_bound_to_this_host(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.double.add_user("ann@example.com")
    https = cloud.app.state.context.settings.model_copy(
        update={"public_url_setting": "https://cloud.example.com"}
    )
    assert isinstance(https, Settings)
    ways = workos_ways(https, cloud.users._vault, cloud.users)
    cloud.app.state.context = WebContext(https, cloud.pool, cloud.sessions, ways)
    transport = httpx.ASGITransport(cloud.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://cloud.example.com") as browser:
        started = await browser.get("/login/workos")
        cookie = started.headers["set-cookie"]
        assert cookie.startswith("__Host-shmastra_sign_in=")
        assert {"HttpOnly", "Path=/", "SameSite=lax", "Secure", "Max-Age=600"} <= set(cookie.split("; "))
        back = at_workos(started.headers["location"], "ann@example.com", "https://cloud.example.com")
        answer = await browser.get(back)
        assert answer.status_code == 303
        assert '__Host-shmastra_sign_in=""' in answer.headers["set-cookie"]
    for way in ways:
        for work in way.background:
            work.close()
        for close in reversed(way.closing):
            await close()
