"""Signing in with a real OpenID provider, in a real browser: in, out, in again, and turned away."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from tests.shmastra_cloud.identity.oidc.conftest import World, world
from tests.support.browser import NARROW, WIDE, Visit, chromium
from tests.support.openid_provider import ANN

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def cloud(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(postgres, tmp_path_factory.mktemp("openid")) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


def sign_in_there(visit: Visit, sub: str) -> None:
    visit.page.get_by_role("link", name="Example ID").click()
    visit.page.get_by_placeholder("Enter any login").fill(sub)
    visit.page.get_by_placeholder("and password").fill("x")
    visit.page.get_by_role("button", name="Sign-in").click()


def test_somebody_comes_in_by_the_provider_and_goes_out_of_both(browser: Browser, cloud: World) -> None:
    visit = Visit(browser, cloud.web.url)
    try:
        visit.page.goto("/?returnTo=/usage")
        visit.shot("openid-sign-in")
        sign_in_there(visit, "ann")
        visit.page.wait_for_url("**/usage")
        assert visit.fetch("/api/me")[1]["email"] == "ann@example.com"
        names = {cookie.get("name") for cookie in visit.context.cookies(cloud.web.url)}
        assert "shmastra_session" in names
        assert "shmastra_oidc" not in names
        visit.page.get_by_role("button", name="Sign out").click()
        expect(visit.page.get_by_text("Do you want to sign-out")).to_be_visible()
        assert visit.page.url.startswith(f"{cloud.provider.issuer}/session/end?")
        visit.page.get_by_role("button", name="Yes, sign me out").click()
        visit.page.wait_for_url(f"{cloud.web.url}/")
        expect(visit.page.get_by_role("link", name="Continue with Example ID")).to_be_visible()
        visit.page.get_by_role("link", name="Example ID").click()
        expect(visit.page.get_by_placeholder("Enter any login")).to_be_visible()
        assert not [error for error in visit.errors if "Content Security Policy" in error]
    finally:
        visit.close()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
def test_who_is_no_member_is_told_so_and_can_try_again(
    browser: Browser, cloud: World, size: tuple[int, int]
) -> None:
    cloud.provider.person("bob", {**ANN, "email": "bob@example.com", "groups": ["all"]})
    visit = Visit(browser, cloud.web.url, size=size)
    try:
        visit.page.goto("/")
        visit.shot(f"openid-front-{size[0]}")
        sign_in_there(visit, "bob")
        expect(visit.page.get_by_role("heading")).to_have_text(
            "You are signed in there, but you are not a member here"
        )
        expect(visit.page.get_by_text("Ask who administers Example ID")).to_be_visible()
        visit.shot(f"openid-not-a-member-{size[0]}")
        assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        visit.page.get_by_role("link", name="Sign in as somebody else").click()
        expect(visit.page.get_by_placeholder("Enter any login")).to_be_visible()
        visit.page.go_back()
        cloud.provider.person("bob", {**ANN, "email": "bob@example.com"})
        visit.page.get_by_role("link", name="Try again").click()
        visit.page.wait_for_url(re.compile(r"/workspace"))
        visit.page.goto("/login/oidc/callback?state=x")
        expect(visit.page.get_by_role("heading")).to_have_text("This attempt to sign in is over")
        visit.shot(f"openid-expired-{size[0]}")
    finally:
        visit.close()
