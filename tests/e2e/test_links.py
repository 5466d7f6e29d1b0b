"""Links that no longer work, and the pages that say so."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import expect
from tests.e2e.conftest import Open
from tests.support.browser import NARROW, WIDE, Visit
from tests.support.cloud import RunningCloud

pytestmark = pytest.mark.journey


def test_a_used_an_expired_and_a_made_up_link_say_how_to_get_a_new_one(
    cloud: RunningCloud, visit: Open
) -> None:
    used, expired = cloud.link("eve@example.com"), cloud.link("fay@example.com")
    cloud.rows(
        "update login_links set expires_at = now() - interval '1 second' from users "
        "where users.id = user_id and email = 'fay@example.com'"
    )
    use(cloud, used)
    for name, link in (("used", used), ("expired", expired), ("made-up", f"{cloud.url}/login/link/rubbish")):
        other: Visit = visit(cloud.url)
        answer = other.page.goto(link)
        assert answer is not None
        assert answer.status == 410
        expect(other.page.get_by_role("heading", name="This link no longer works")).to_be_visible()
        expect(other.page.get_by_text("shmastra user link")).to_be_visible()
        expect(other.page.get_by_role("button")).to_have_count(0)
        other.shot(f"link-{name}")


def test_a_link_that_is_used_up_while_its_page_is_open_says_so_when_pressed(
    cloud: RunningCloud, visit: Open
) -> None:
    link = cloud.link("gus@example.com")
    slow: Visit = visit(cloud.url)
    slow.page.goto(link)
    use(cloud, link)
    slow.page.get_by_role("button", name="Open my workspace").click()
    expect(slow.page.get_by_role("heading", name="This link no longer works")).to_be_visible()
    slow.page.goto("/workspace")
    expect(slow.page.get_by_text("You sign in with a one-time link")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_pages_fit_and_complain_of_nothing(
    cloud: RunningCloud, visit: Open, size: tuple[int, int], dark: bool
) -> None:
    guest: Visit = visit(cloud.url, size=size, dark=dark)
    for name, path in (
        ("sign-in", "/"),
        ("link", cloud.link("hal@example.com")),
        ("gone", "/login/link/rubbish"),
    ):
        guest.page.goto(path)
        guest.shot(f"page-{name}-{size[0]}-{'dark' if dark else 'light'}")
        assert guest.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    # the browser itself notes the 410
    assert [error for error in guest.errors if "410" not in error] == []
    assert guest.strangers == set()


def use(cloud: RunningCloud, link: str) -> None:
    """Use a link up, in a browser that then opens nothing."""
    assert httpx.post(link, headers={"origin": cloud.url}).status_code == 303
