import json
import time

import httpx
import pytest
from tests.doubles.workos import signature
from tests.shmastra_cloud.identity.workos.conftest import Cloud


async def deliver(cloud: Cloud, event: dict[str, object], **values: object) -> httpx.Response:
    body = json.dumps(event).encode()
    headers = {b"workos-signature": str(values.get("signature", signature(body))).encode("latin-1")}
    async with cloud.browser() as browser:
        return await browser.post("/webhooks/workos", content=body, headers=headers)


async def test_a_removed_member_is_out_at_once(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        cloud.double.remove(user)
        assert await cloud.who(browser) is not None
        answer = await deliver(cloud, cloud.double.events[-1])
        assert (answer.status_code, answer.json()) == (200, {"taken": True})
        assert await cloud.who(browser) is None
    row = await cloud.row("ann@example.com")
    assert row["disabled_because"] == "membership"
    assert [dict(one)["disabled_because"] for one in await cloud.users.all()] == ["membership"]


async def test_an_event_that_was_taken_is_not_taken_again(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
    cloud.double.change(user, status="inactive")
    out = cloud.double.events[-1]
    assert (await deliver(cloud, out)).status_code == 200
    asked = len(cloud.double.asked)
    assert (await deliver(cloud, out)).status_code == 200
    assert len(cloud.double.asked) == asked


async def test_an_old_event_that_comes_late_changes_nothing(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        cloud.double.remove(user)
        removed = cloud.double.events[-1]
        cloud.double.add_membership(user)
        assert (await deliver(cloud, removed)).status_code == 200
        assert await cloud.who(browser) is not None


async def test_a_session_that_workos_ends_is_ended(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser, cloud.browser() as other:
        await cloud.sign_in(browser, "ann@example.com")
        (session,) = cloud.double.sessions
        await cloud.sign_in(other, "ann@example.com")
        cloud.double.revoke(session)
        await deliver(cloud, cloud.double.events[-1])
        assert await cloud.who(browser) is None
        assert await cloud.who(other) is not None


async def test_while_workos_is_away_a_removal_is_believed_and_a_change_is_sent_again(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        cloud.double.change(user, role="admin")
        changed = cloud.double.events[-1]
        cloud.double.fails, cloud.double.retry_after = 503, "0"
        answer = await deliver(cloud, changed)
        assert (answer.status_code, answer.json()["code"]) == (503, "provider_away")
        cloud.double.remove(user)
        assert (await deliver(cloud, cloud.double.events[-1])).status_code == 200
        assert await cloud.who(browser) is None


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "t=1, v1=00",
        "t=9999999999999999999999999, v1=x",
        "t=x, v1=00",
        "v1=,,, t=",
        "t=NOW, v1=\xff",
    ],
)
async def test_what_workos_did_not_sign_is_refused(cloud: Cloud, forged: str) -> None:
    event = {"id": "event_1", "event": "user.deleted", "data": {"id": "user_1"}}
    signature = forged.replace("NOW", str(int(time.time() * 1000)))
    answer = await deliver(cloud, event, signature=signature)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_signature")


async def test_an_event_of_another_organization_is_nothing_to_us(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    cloud.double.add_membership(user, organization="org_other")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        asked = len(cloud.double.asked)
        gone = {"user_id": user, "organization_id": "org_other", "status": "inactive"}
        event = {"id": "event_1", "event": "organization_membership.deleted", "data": gone}
        assert (await deliver(cloud, event)).status_code == 200
        assert len(cloud.double.asked) == asked
        assert await cloud.who(browser) is not None
