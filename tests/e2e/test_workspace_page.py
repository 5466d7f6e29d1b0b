"""The workspace page in each status, live: repairing, broken with its ways out, starting again."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import expect
from tests.e2e.conftest import Open
from tests.support.browser import NARROW, WIDE, Visit
from tests.support.cloud import RunningCloud

pytestmark = pytest.mark.journey

EMAIL = "jan@example.com"
CRASH = "SyntaxError: Unexpected token '}'\n    at src/mastra/agents/assistant.ts:12:3"
FILE = "/home/user/shmastra/notes.txt"


def test_the_page_follows_a_repair_that_fails_and_leads_out_of_it(cloud: RunningCloud, visit: Open) -> None:
    jan: Visit = visit(cloud.url)
    jan.sign_in(cloud.link(EMAIL))
    cloud.sandbox(EMAIL).files.write(FILE, "mine")
    report(cloud, "healing")
    jan.page.goto("/workspace")
    expect(jan.page.get_by_role("heading", name="Repairing your workspace")).to_be_visible()
    pictures(jan, "healing")
    report(cloud, "broken", CRASH)
    expect(jan.page.get_by_role("heading", name="Your workspace could not be started")).to_be_visible()
    expect(jan.page.get_by_role("alert")).to_contain_text("assistant.ts:12:3")
    expect(jan.page.get_by_text("the healer reports broken")).to_be_visible()
    pictures(jan, "broken")
    jan.page.get_by_role("button", name="Try again").click()
    jan.page.wait_for_url("**/studio**")
    assert cloud.sandbox(EMAIL).files.read(FILE) == "mine"
    assert jan.errors == []


def test_starting_over_needs_the_email_and_empties_the_sandbox(cloud: RunningCloud, visit: Open) -> None:
    jan: Visit = visit(cloud.url)
    jan.sign_in(cloud.link(EMAIL))
    cloud.sandbox(EMAIL).files.write(FILE, "mine")
    report(cloud, "healing")
    report(cloud, "broken", CRASH)
    jan.page.goto("/workspace")
    jan.page.get_by_role("button", name="Start over with empty files").click()
    confirm = jan.page.get_by_role("button", name="Delete everything and start over")
    box = jan.page.get_by_role("textbox")
    for typed, enabled in (("someone@example.com", False), (EMAIL, True)):
        box.fill(typed)
        expect(confirm).to_be_enabled(enabled=enabled)
    pictures(jan, "reset")
    confirm.click()
    expect(jan.page.get_by_text("you asked for a reset").first).to_be_attached()
    pictures(jan, "starting-again")
    jan.page.wait_for_url("**/studio**", timeout=60_000)
    assert not cloud.sandbox(EMAIL).files.exists(FILE)


def test_who_signs_out_is_out(cloud: RunningCloud, visit: Open) -> None:
    jan: Visit = visit(cloud.url)
    jan.sign_in(cloud.link(EMAIL))
    report(cloud, "healing")
    jan.page.goto("/workspace")
    jan.page.get_by_role("button", name="Sign out").click()
    expect(jan.page.get_by_text("You sign in with a one-time link")).to_be_visible()
    assert jan.fetch("/api/me")[0] == 401
    report(cloud, "ready")


def report(cloud: RunningCloud, status: str, error: str | None = None) -> None:
    """Say what the sandbox's healer would."""
    env = cloud.sandbox(EMAIL).files.read("/home/user/shmastra/.env")
    key = next(line.partition("=")[2] for line in env.splitlines() if line.startswith("OPENAI_API_KEY="))
    answer = httpx.post(
        f"{cloud.url}/api/sandbox/heal",
        headers={"authorization": f"Bearer {key}"},
        json={"status": status, "attempt": 1, "error": error},
    )
    assert answer.status_code == 200, answer.text


def pictures(visit: Visit, name: str) -> None:
    """Picture the page wide and narrow, light and dark; nothing may be cut off."""
    for size in (WIDE, NARROW):
        visit.page.set_viewport_size({"width": size[0], "height": size[1]})
        for scheme in ("light", "dark"):
            visit.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            visit.shot(f"workspace-{name}-{size[0]}-{scheme}")
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    visit.page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    visit.page.emulate_media(color_scheme="light")
