import re

import pytest
from tests.doubles.workos import ORGANIZATION
from tests.shmastra_cloud.identity.workos.conftest import Cloud, at_workos


async def test_a_member_comes_in_through_workos_and_goes_on_where_he_wanted(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com", role="admin")
    async with cloud.browser() as browser:
        answer = await cloud.sign_in(browser, "ann@example.com", "/manage/usage?by=day")
        assert (answer.status_code, answer.headers["location"]) == (303, "/manage/usage?by=day")
        user = await cloud.who(browser)
        assert user is not None
        assert (user.email, user.role) == ("ann@example.com", "admin")
        assert "shmastra_sign_in" not in browser.cookies
    row = await cloud.pool.fetchrow("select * from sessions")
    assert row is not None
    assert row["source"] == "workos"
    assert row["provider_session"] in cloud.double.sessions
    assert all(token.encode() not in bytes(row["provider_secret"]) for token in cloud.double.refresh)
    assert cloud.double.sessions[row["provider_session"]]["organization_id"] == ORGANIZATION


async def test_a_place_elsewhere_is_not_gone_to(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        answer = await cloud.sign_in(browser, "ann@example.com", "https://evil.example/studio")
        assert answer.headers["location"] == "/workspace"


async def test_a_non_member_is_refused_with_a_plain_page_and_may_come_as_somebody_else(cloud: Cloud) -> None:
    cloud.double.add_user("eve@example.com", role=None)
    async with cloud.browser() as browser:
        answer = await cloud.sign_in(browser, "eve@example.com")
        assert answer.status_code == 403
        assert "not a member of this organization" in answer.text
        assert await cloud.who(browser) is None
        link = re.search(r'href="(/login/workos/bye[^"]*)"', answer.text)
        assert link is not None
        left = await browser.get(link[1].replace("&amp;", "&"))
    (session,) = cloud.double.sessions
    assert f"sessions/logout?session_id={session}" in left.text
    assert await cloud.pool.fetchval("select count(*) from users") == 0


async def test_the_callback_is_for_the_browser_that_began(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser, cloud.browser() as other:
        started = await browser.get("/login/workos")
        back = at_workos(started.headers["location"], "ann@example.com")
        assert (await other.get(back)).status_code == 400  # none begun
        await other.get("/login/workos")
        assert (await other.get(back)).status_code == 400  # another begun
        assert await cloud.who(other) is None
        assert (await browser.get(back)).status_code == 303


async def test_a_callback_is_good_once(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        started = await browser.get("/login/workos")
        carried = browser.cookies["shmastra_sign_in"]
        back = at_workos(started.headers["location"], "ann@example.com")
        assert (await browser.get(back)).status_code == 303
        assert (await browser.get(back)).status_code == 400
        browser.cookies.set("shmastra_sign_in", carried)
        answer = await browser.get(re.sub("code=[^&]*", "code=another", back))
        assert answer.status_code == 400
        assert "used already" in answer.text
    assert cloud.double.asked.count("/user_management/authenticate") == 1


async def test_who_is_sent_back_without_a_code_is_told_so(cloud: Cloud) -> None:
    async with cloud.browser() as browser:
        started = await browser.get("/login/workos")
        state = started.headers["location"].partition("state=")[2].partition("&")[0]
        answer = await browser.get(f"/login/workos/callback?error=access_denied%0aforged&state={state}")
        assert answer.status_code == 403
        assert "access_denied" not in answer.text


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_workos_away_gives_a_plain_page_and_a_retry(cloud: Cloud, status: int) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        started = await browser.get("/login/workos")
        back = at_workos(started.headers["location"], "ann@example.com")
        cloud.double.fails, cloud.double.retry_after = status, "0"
        answer = await browser.get(back)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert "WorkOS does not answer" in answer.text
        assert 'href="/login/workos"' in answer.text
    assert len(cloud.double.asked) == 2  # one retry, and no more


async def test_signing_out_ends_the_session_at_workos_too(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        (session,) = cloud.double.sessions
        gone = await browser.post("/logout")
        assert gone.status_code == 303
        assert gone.headers["location"].startswith("/login/workos/bye?to=")
        page = await browser.get(gone.headers["location"])
        assert (
            f"{cloud.double.url}/user_management/sessions/logout?session_id={session}&amp;return_to="
            in page.text
        )
        assert await cloud.who(browser) is None
        assert (await browser.get("/login/workos/bye?to=forged")).headers["location"] == "/"


async def test_who_belongs_to_another_organization_too_comes_in_under_the_rules_of_ours(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com", role=None)
    cloud.double.add_membership(user, organization="org_other")
    async with cloud.browser() as browser:
        assert (await cloud.sign_in(browser, "ann@example.com")).status_code == 403
        cloud.double.add_membership(user)
        assert (await cloud.sign_in(browser, "ann@example.com")).status_code == 303
    assert {one["organization_id"] for one in cloud.double.sessions.values()} == {None, ORGANIZATION}


async def test_an_organization_that_asks_for_single_sign_on_is_obeyed(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        started = await browser.get("/login/workos")
        back = at_workos(started.headers["location"], "ann@example.com")
        (session,) = cloud.double.sessions.values()
        session["organization_id"] = None
        cloud.double.sso_required = True
        answer = await browser.get(back)
        assert answer.status_code == 403
        assert "another way to sign in" in answer.text
    assert cloud.double.membership(user) is not None
