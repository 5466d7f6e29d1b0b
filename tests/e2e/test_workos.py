"""Signing in with WorkOS in a real browser: through its page, by a code, as a stranger; and being removed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from tests.doubles.workos import ENVIRONMENT, WorkOS, workos
from tests.e2e.conftest import Open, logs_kept
from tests.support.browser import NARROW, Visit
from tests.support.cloud import RunningCloud, running_cloud, wait_until

pytestmark = pytest.mark.journey

MEMBER, STRANGER = "ann@example.com", "eve@example.com"


@pytest.fixture(scope="module")
def double() -> Iterator[WorkOS]:
    with workos() as state:
        yield state


@pytest.fixture(scope="module")
def cloud(request: pytest.FixtureRequest, double: WorkOS) -> Iterator[RunningCloud]:
    environ = {**ENVIRONMENT, "WORKOS_BASE_URL": double.url}
    with running_cloud(environ, name="workos") as here, logs_kept(request, here):
        yield here


def through_workos(visit: Visit, email: str) -> None:
    visit.page.goto("/")
    visit.page.get_by_role("link", name="Sign in with WorkOS").click()
    visit.page.get_by_label("Email").fill(email)
    visit.page.get_by_role("button", name="Continue").click()


def test_a_stranger_is_refused_with_what_to_do_and_may_come_as_somebody_else(
    cloud: RunningCloud, double: WorkOS, visit: Open
) -> None:
    stranger = visit(cloud.url, size=NARROW)
    stranger.page.goto("/")
    stranger.shot("workos-sign-in-390")
    through_workos(stranger, STRANGER)
    expect(stranger.page.get_by_role("heading")).to_have_text("You are not a member of this organization")
    stranger.shot("workos-refused-390")
    stranger.page.get_by_role("link", name="Sign in as somebody else").click()
    stranger.page.wait_for_url(f"{cloud.url}/")
    assert not double.sessions
    stranger.page.get_by_role("link", name="Sign in with WorkOS").click()
    expect(stranger.page.get_by_label("Email")).to_be_visible()  # WorkOS remembers nobody


def test_a_member_comes_in_by_a_code_and_signs_out_at_workos_too(
    cloud: RunningCloud, double: WorkOS, visit: Open
) -> None:
    double.add_user("bob@example.com")
    member = visit(cloud.url)
    member.page.goto("/?returnTo=/usage")
    member.page.get_by_role("link", name="Get a code by email").click()
    member.shot("workos-email-1280")
    member.page.get_by_label("Email").fill("bob@example.com")
    member.page.get_by_role("button", name="Send me a code").click()
    expect(member.page.get_by_role("heading")).to_have_text("Enter your code")
    member.shot("workos-code-1280")
    wait_until(lambda: bool(double.mails), 10, "the mail")
    member.page.get_by_label("Code").fill("000000" if double.mails[-1][1] != "000000" else "111111")
    member.page.get_by_role("button", name="Sign in").click()
    expect(member.page.get_by_role("alert")).to_contain_text("4 tries are left")
    member.page.get_by_label("Code").fill(double.mails[-1][1])
    member.page.get_by_role("button", name="Sign in").click()
    member.page.wait_for_url("**/usage")
    assert double.sessions
    member.page.get_by_role("button", name="Sign out").click()
    member.page.wait_for_url(f"{cloud.url}/")
    expect(member.page.get_by_role("link", name="Sign in with WorkOS")).to_be_visible()
    assert not double.sessions
    assert member.fetch("/api/me")[0] == 401
    assert not [text for text in member.errors if "Content Security Policy" in text]


def test_who_is_removed_is_out_while_studios_page_is_open(
    cloud: RunningCloud, double: WorkOS, visit: Open
) -> None:
    user = double.add_user(MEMBER)
    member = visit(cloud.url)
    through_workos(member, MEMBER)
    member.page.wait_for_url("**/studio**", timeout=60_000)
    asked = member.context.request  # beside the page, which may leave at any moment
    assert asked.get("/api/mastra/agents").status == 200
    double.hooks.append(f"{cloud.url}/webhooks/workos")
    began = time.monotonic()
    double.remove(user)
    assert double.answers == [200]
    wait_until(lambda: asked.get("/api/mastra/agents").status == 401, 2, "the end of the session")
    assert time.monotonic() - began < 2
    shown = next(one for one in cloud.json("user", "list") if one["email"] == MEMBER)
    assert (shown["disabled_because"], bool(shown["disabled_at"])) == ("membership", True)
    member.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as after a minute
    member.page.wait_for_url(re.compile(r"/\?returnTo=%2Fstudio|/$"))
    member.shot("workos-removed-1280")
    wait_until(lambda: cloud.json("sandbox", "show", MEMBER)["status"] == "paused", 30, "the pause")
    through_workos_again(member)
    expect(member.page.get_by_role("heading")).to_have_text("You are not a member of this organization")
    assert re.search(r"invite you", member.text())


def through_workos_again(visit: Visit) -> None:
    """WorkOS remembers the browser and asks for nothing."""
    visit.page.get_by_role("link", name="Sign in with WorkOS").click()
