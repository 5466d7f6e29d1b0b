import asyncio

import pytest
from tests.doubles.workos import ORGANIZATION
from tests.shmastra_cloud.identity.workos.conftest import Cloud

from shmastra_cloud.identity.workos.checking import BATCH, GRACE_SECONDS

DUE = "update sessions set check_after = now()"


async def test_a_session_is_renewed_and_stays(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        assert await cloud.checking.check() == 0
        for _ in range(2):
            before = await cloud.pool.fetchval("select provider_secret from sessions")
            await cloud.pool.execute(f"{DUE}, checked_at = now() - interval '5 minutes'")
            assert await cloud.checking.check() == 1
            row = await cloud.pool.fetchrow(
                "select provider_secret, check_after > now() + interval '4 minutes' as later,"
                " checked_at > now() - interval '1 minute' as fresh from sessions"
            )
            assert row is not None
            assert (row["later"], row["fresh"]) == (True, True)
            assert row["provider_secret"] != before
        assert await cloud.who(browser) is not None


UNUSED = f"{DUE}, last_used_at = now() - interval '1 hour', checked_at = now() - interval '5 minutes'"


async def test_a_session_that_nobody_uses_is_looked_at_and_not_renewed(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        before = await cloud.pool.fetchval("select provider_secret from sessions")
        asked = cloud.double.asked.count("/user_management/authenticate")
        await cloud.pool.execute(UNUSED)
        cloud.double.change(user, role="admin")
        await cloud.checking.check()
        row = await cloud.pool.fetchrow(
            "select provider_secret, checked_at > now() - interval '1 minute' as fresh from sessions"
        )
        assert row is not None
        assert (row["provider_secret"], row["fresh"]) == (before, True)
        assert cloud.double.asked.count("/user_management/authenticate") == asked
        assert (await cloud.row("ann@example.com"))["role"] == "admin"
        assert await cloud.who(browser) is not None


async def test_a_session_that_nobody_uses_ends_where_it_has_ended_there(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser, cloud.browser() as other:
        await cloud.sign_in(browser, "ann@example.com")
        await cloud.sign_in(other, "ann@example.com")
        first, second = cloud.double.sessions
        cloud.double.sessions[first]["status"] = "expired"
        await cloud.pool.execute(UNUSED)
        await cloud.checking.check()
        assert await cloud.who(browser) is None
        assert await cloud.who(other) is not None
        cloud.double.memberships.clear()
        await cloud.pool.execute(UNUSED)
        await cloud.checking.check()
        assert await cloud.who(other) is None
    assert (await cloud.row("ann@example.com"))["disabled_because"] == "membership"
    assert (user in cloud.double.users, second in cloud.double.sessions) == (True, True)


async def test_who_is_no_member_any_more_is_out_though_no_event_came(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        del cloud.double.memberships[next(iter(cloud.double.memberships))]
        (session,) = cloud.double.sessions.values()
        session["organization_id"] = None
        await cloud.pool.execute(DUE)
        await cloud.checking.check()
        assert await cloud.who(browser) is None
    assert user in cloud.double.users


async def test_a_changed_role_is_followed(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        for role in ("admin", "member"):
            cloud.double.change(user, role=role)
            await cloud.pool.execute(DUE)
            await cloud.checking.check()
            found = await cloud.who(browser)
            assert found is not None
            assert found.role == role


async def test_while_workos_is_away_a_session_lives_on_for_an_hour(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        cloud.double.fails, cloud.double.retry_after = 503, "0"
        for age, lives in ((GRACE_SECONDS - 60, True), (GRACE_SECONDS + 1, False)):
            await cloud.pool.execute(f"{DUE}, checked_at = now() - make_interval(secs => $1)", age)
            assert await cloud.checking.check() == 1
            assert (await cloud.who(browser) is not None) is lives
    assert (await cloud.row("ann@example.com"))["disabled_at"] is None


async def test_a_key_that_workos_refuses_signs_nobody_out_at_once(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        cloud.double.fails = 401
        await cloud.pool.execute(DUE)
        await cloud.checking.check()
        assert await cloud.who(browser) is not None


@pytest.mark.parametrize("secret", [None, b"\x01 another key's ciphertext of some length"])
async def test_a_session_that_nothing_can_be_asked_for_ends(cloud: Cloud, secret: bytes | None) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        await cloud.pool.execute(f"{DUE}, provider_secret = $1", secret)
        await cloud.checking.check()
        assert await cloud.who(browser) is None


async def test_each_session_is_checked_by_one_process(cloud: Cloud) -> None:
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        for _ in range(BATCH + 2):
            browser.cookies.clear()
            await cloud.sign_in(browser, "ann@example.com")
        await cloud.pool.execute(DUE)
        assert await cloud.checking.check() == BATCH
        assert await cloud.checking.check() == 2
        assert await cloud.checking.check() == 0
        assert await cloud.who(browser) is not None
    assert {one["organization_id"] for one in cloud.double.sessions.values()} == {ORGANIZATION}


async def test_a_session_that_another_process_has_at_hand_is_left_to_it(cloud: Cloud) -> None:
    """Renewed twice, it would be refused the second time, and end."""
    cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        for _ in range(2):
            browser.cookies.clear()
            await cloud.sign_in(browser, "ann@example.com")
    await cloud.pool.execute(DUE)
    async with cloud.pool.acquire() as other, other.transaction():
        await other.execute("select from sessions limit 1 for update")
        assert await asyncio.wait_for(cloud.checking.check(), 5) == 1
    assert await cloud.checking.check() == 1
    assert await cloud.pool.fetchval("select count(*) from sessions") == 2
