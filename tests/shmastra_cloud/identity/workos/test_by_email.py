import asyncio
import time

import httpx
import pytest
from tests.doubles.workos import ORGANIZATION, WorkOS
from tests.shmastra_cloud.identity.workos.conftest import Cloud

FORM = "/login/workos/email"


async def mailed(double: WorkOS, count: int = 1) -> str:
    """Wait until so many codes were sent, and return the last."""
    async with asyncio.timeout(10):
        while len(double.mails) < count:
            await asyncio.sleep(0.01)
    return double.mails[-1][1]


async def ask(browser: httpx.AsyncClient, email: str, place: str = "") -> httpx.Response:
    return await browser.post(FORM, data={"email": email, "place": place})


async def test_a_member_comes_in_by_a_code(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        form = await browser.get(f"{FORM}?returnTo=/studio/agents")
        assert 'value="/studio/agents"' in form.text
        asked = await ask(browser, "ann@example.com", "/studio/agents")
        assert (asked.status_code, asked.headers["location"]) == (303, "/login/workos/code")
        assert "ann@example.com" in (await browser.get("/login/workos/code")).text
        code = await mailed(cloud.double)
        answer = await browser.post("/login/workos/code", data={"code": f" {code[:3]} {code[3:]} "})
        assert (answer.status_code, answer.headers["location"]) == (303, "/studio/agents")
        user = await cloud.who(browser)
        assert user is not None
        assert user.email == "ann@example.com"


async def test_an_unknown_email_gets_the_same_answer_and_no_mail(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    cloud.double.add_user("eve@example.com", role=None)
    pages = []
    for email in ("ann@example.com", "eve@example.com", "nobody@example.com"):
        async with cloud.browser() as browser:
            asked = await ask(browser, email)
            page = await browser.get(asked.headers["location"])
            pages.append(
                (asked.status_code, page.status_code, page.text.replace(email, "EMAIL").split("<body")[1])
            )
    assert pages[0] == pages[1] == pages[2]
    await mailed(cloud.double)
    await cloud.ways[0].closing[-1]()
    assert [email for email, _ in cloud.double.mails] == ["ann@example.com"]
    assert len(cloud.double.users) == 2


async def test_a_code_is_guessed_at_five_times(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await ask(browser, "ann@example.com")
        code = await mailed(cloud.double)
        wrong = f"{(int(code) + 1) % 10**6:06d}"
        for left in (4, 3, 2, 1, 0):
            answer = await browser.post("/login/workos/code", data={"code": wrong})
            assert answer.status_code == 400
            assert f"{left} tr" in answer.text
        answer = await browser.post("/login/workos/code", data={"code": code})
        assert answer.status_code == 429
        assert await cloud.who(browser) is None


async def test_racing_guesses_are_counted_one_by_one(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await ask(browser, "ann@example.com")
        await mailed(cloud.double)
        guesses = [browser.post("/login/workos/code", data={"code": "no"}) for _ in range(12)]
        answers = await asyncio.gather(*guesses)
    assert sorted(answer.status_code for answer in answers) == [400] * 5 + [429] * 7
    assert cloud.double.asked.count("/user_management/authenticate") == 5


async def test_codes_can_be_asked_for_five_times_in_ten_minutes(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        statuses = [(await ask(browser, email)).status_code for email in ["ANN@example.com"] * 6]
        assert statuses == [303] * 5 + [429]
        await cloud.pool.execute("update workos_codes set made_at = made_at - interval '10 minutes'")
        assert (await ask(browser, "ann@example.com")).status_code == 303


@pytest.mark.parametrize("email", ["", "ann", "a@b@c", "ann @example.com", "a@" + "b" * 400, "a\x00@b"])
async def test_what_is_no_email_is_asked_for_again(cloud: Cloud, email: str) -> None:
    async with cloud.browser() as browser:
        answer = await ask(browser, email)
        assert answer.status_code == 400
        assert "does not look like an email" in answer.text
    assert cloud.double.asked == []


async def test_a_code_page_without_an_attempt_leads_to_the_form(cloud: Cloud) -> None:
    async with cloud.browser() as browser:
        assert (await browser.get("/login/workos/code")).headers["location"] == FORM
        for forged in (b"gAAAAforged", b"\xff", b"g" * 5000):
            cookie = {"cookie": b"shmastra_sign_in=" + forged}
            answer = await browser.post("/login/workos/code", data={"code": "1"}, headers=cookie)
            assert answer.headers["location"] == FORM


async def test_workos_away_says_so_and_a_try_is_not_the_last(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await ask(browser, "ann@example.com")
        code = await mailed(cloud.double)
        cloud.double.fails, cloud.double.retry_after = 500, "0"
        assert (await ask(browser, "ann@example.com")).status_code == 503
        assert (await browser.post("/login/workos/code", data={"code": code})).status_code == 503
        cloud.double.fails = None
        assert (await browser.post("/login/workos/code", data={"code": code})).status_code == 303


async def test_who_belongs_to_several_organizations_is_taken_to_ours(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    cloud.double.add_membership(user, organization="org_other")
    async with cloud.browser() as browser:
        await ask(browser, "ann@example.com")
        code = await mailed(cloud.double)
        assert (await browser.post("/login/workos/code", data={"code": code})).status_code == 303
    (session,) = cloud.double.sessions.values()
    assert session["organization_id"] == ORGANIZATION


async def test_who_was_removed_meanwhile_is_refused(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await ask(browser, "ann@example.com")
        code = await mailed(cloud.double)
        cloud.double.remove(user)
        answer = await browser.post("/login/workos/code", data={"code": code})
        assert answer.status_code == 403
        assert "not a member" in answer.text


async def test_the_answer_does_not_wait_for_the_mail(cloud: Cloud) -> None:
    """Else its time would tell whose email is a member's."""
    cloud.double.add_user("ann@example.com")
    sent = asyncio.Event()
    its_mails = cloud.ways[0].closing[-1].__self__  # type: ignore[attr-defined]

    async def late() -> None:
        await sent.wait()

    assert its_mails.send(late())
    began = time.monotonic()
    async with cloud.browser() as browser:
        assert (await ask(browser, "ann@example.com")).status_code == 303
    assert time.monotonic() - began < 8
    sent.set()
