import pytest
from tests.shmastra_cloud.identity.workos.conftest import Cloud

from shmastra_cloud.identity.workos import Away
from shmastra_cloud.identity.workos.news import News


async def test_one_of_several_roles_makes_an_admin(cloud: Cloud) -> None:
    assert cloud.members.is_admin(frozenset({"member", "admin"}))
    assert not cloud.members.is_admin(frozenset({"member", "administrator"}))


async def test_somebody_who_never_came_is_nothing_to_us(cloud: Cloud) -> None:
    await cloud.members.hear(News(user="user_unknown", gone=True))
    assert cloud.double.asked == []


async def test_who_is_out_already_is_not_shut_out_again(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
    cloud.double.remove(user)
    await cloud.members.look(user)
    before = await cloud.row("ann@example.com")
    await cloud.members.look(user)
    assert await cloud.row("ann@example.com") == before
    assert before["disabled_at"] is not None


async def test_while_workos_is_away_nobody_is_shut_out_by_a_guess(cloud: Cloud) -> None:
    user = cloud.double.add_user("ann@example.com")
    async with cloud.browser() as browser:
        await cloud.sign_in(browser, "ann@example.com")
        cloud.double.fails, cloud.double.retry_after = 500, "0"
        with pytest.raises(Away):
            await cloud.members.look(user)
        with pytest.raises(Away):
            await cloud.members.compare()
        assert await cloud.who(browser) is not None


async def test_comparing_brings_everybody_in_line_over_several_pages(cloud: Cloud) -> None:
    users = [cloud.double.add_user(f"{at:03}@example.com", role="admin") for at in range(120)]
    async with cloud.browser() as browser:
        for at in (0, 50, 119):
            browser.cookies.clear()
            await cloud.sign_in(browser, f"{at:03}@example.com")
    await cloud.pool.execute("update users set role = 'member'")
    cloud.double.remove(users[50])
    await cloud.members.compare()
    rows = await cloud.pool.fetch("select role, disabled_because from users order by email")
    assert [tuple(row.values()) for row in rows] == [
        ("admin", None),
        ("member", "membership"),
        ("admin", None),
    ]
    cloud.double.add_membership(users[50])
    await cloud.members.compare()
    assert await cloud.pool.fetchval("select count(*) from users where disabled_at is null") == 3
