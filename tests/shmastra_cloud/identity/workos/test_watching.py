import asyncio
import datetime as dt

import pytest
from tests.shmastra_cloud.identity.workos.conftest import Cloud

from shmastra_cloud.identity.workos import Away
from shmastra_cloud.identity.workos.watching import MOST_SECONDS, POLL_SECONDS, Watching


async def test_a_removed_member_is_out_by_polling_and_comes_in_again_once_he_is_back(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        assert await cloud.watching.read()
        cloud.double.change(user, status="inactive")
        assert await cloud.watching.read()
        assert await cloud.who(browser) is None
        assert (await cloud.row("ann@example.com"))["disabled_because"] == "membership"
        cloud.double.change(user, status="active")
        assert await cloud.watching.read()
        row = await cloud.row("ann@example.com")
        assert (row["disabled_at"], row["disabled_because"]) == (None, None)


async def test_whom_an_admin_here_has_disabled_stays_out(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
    await cloud.watching.read()
    await cloud.users.set_disabled("ann@example.com", disabled=True)
    cloud.double.change(user, role="admin")
    await cloud.watching.read()
    row = await cloud.row("ann@example.com")
    assert row["disabled_because"] == "admin"
    assert row["disabled_at"] is not None


async def test_what_happened_while_nobody_listened_is_seen_at_the_start(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        del cloud.double.memberships[next(iter(cloud.double.memberships))]  # and no event tells
        await cloud.watching.read()
        assert await cloud.who(browser) is None
    assert user in cloud.double.users


async def test_a_deleted_user_and_a_revoked_session_are_out(cloud: Cloud) -> None:
    ann, bob = (cloud.double.add_user(f"{name}@example.com") for name in ("ann", "bob"))
    async with cloud.browser() as browser, cloud.browser() as other:
        await cloud.sign_in(browser, "ann@example.com")
        await cloud.sign_in(other, "bob@example.com")
        await cloud.watching.read()
        cloud.double.delete_user(ann)
        (session,) = (one["id"] for one in cloud.double.sessions.values() if one["user_id"] == bob)
        cloud.double.revoke(session)
        await cloud.watching.read()
        assert await cloud.who(browser) is None
        assert await cloud.who(other) is None
    assert (await cloud.row("ann@example.com"))["disabled_because"] == "membership"
    assert (await cloud.row("bob@example.com"))["disabled_at"] is None


async def test_one_process_reads_at_a_time_and_another_takes_over(cloud: Cloud) -> None:
    other = Watching(cloud.pool, cloud.watching._provider, cloud.members)
    assert await cloud.watching.read()
    assert not await other.read()
    await cloud.pool.execute("update workos_events set lease_until = now() - interval '1 second'")
    assert await other.read()
    assert not await cloud.watching.read()


async def test_reading_goes_on_where_it_was_left_after_a_failure(cloud: Cloud) -> None:
    users = [cloud.double.add_user(f"{at}@example.com") for at in range(3)]
    async with cloud.browser() as browser:
        for at in range(3):
            browser.cookies.clear()
            await cloud.sign_in(browser, f"{at}@example.com")
    await cloud.watching.read()
    for user in users:
        cloud.double.change(user, role="admin")
    heard: list[str] = []
    hear = cloud.members.hear

    async def failing(news: object) -> None:
        heard.append(str(news))
        if len(heard) == 2:
            raise Away("now")
        await hear(news)  # type: ignore[arg-type]

    cloud.members.hear = failing  # type: ignore[method-assign]
    with pytest.raises(Away):
        await cloud.watching.read()
    assert await cloud.watching.read()
    assert len(heard) == 4
    assert await cloud.pool.fetchval("select count(*) from users where role = 'admin'") == 3


async def test_an_event_that_workos_forgot_makes_it_begin_anew(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        await cloud.watching.read()
        await cloud.pool.execute("update workos_events set after_id = 'event_long_gone'")
        cloud.double.remove(user)
        assert await cloud.watching.read()
        assert await cloud.watching.read()  # compares everybody
        assert await cloud.who(browser) is None


async def test_an_event_of_an_unknown_form_keeps_none_behind_it(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        await cloud.watching.read()
        cloud.double.tell("organization_membership.updated", {"status": ["odd"], "user_id": 7})
        cloud.double.events[-1]["data"] = None
        cloud.double.remove(user)
        await cloud.watching.read()
        assert await cloud.who(browser) is None


async def test_where_workos_is_away_it_is_asked_less_and_less_often(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.double.fails, cloud.double.retry_after = 500, "0"
    pauses = []
    for _ in range(4):
        await cloud.watching._once()
        pauses.append(cloud.watching.pause())
    for pause, wanted in zip(pauses, (20, 40, 60, 60), strict=True):
        assert 0.8 * wanted <= pause <= 1.2 * wanted
    assert "WorkOS answers 500" in caplog.text
    cloud.double.fails = None
    await cloud.watching._once()
    assert cloud.watching.pause() <= 1.2 * POLL_SECONDS
    assert MOST_SECONDS == 60


async def test_it_runs_until_cancelled_and_outlives_the_database(cloud: Cloud) -> None:
    await cloud.pool.execute("alter table workos_events rename to workos_away")
    running = asyncio.create_task(cloud.watching.run())
    await asyncio.sleep(0.2)
    await cloud.pool.execute("alter table workos_away rename to workos_events")
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_counted_once_is_forgotten_after_an_hour(cloud: Cloud) -> None:
    await cloud.pool.execute(
        "insert into workos_used (name, used_at) values ('a', now()), ('b', $1)",
        dt.datetime.now(dt.UTC) - dt.timedelta(hours=2),
    )
    await cloud.watching.read()
    assert await cloud.pool.fetchval("select count(*) from workos_used") == 1
