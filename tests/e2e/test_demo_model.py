"""With no provider's key at all: a tiny real model answers, and is named for what it is; or nobody does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.conftest import Open
from tests.support.browser import NARROW, Visit
from tests.support.cloud import RunningCloud

pytestmark = pytest.mark.journey

NOTE = "Answers come from a tiny demo model, often wrong; set OPENAI_API_KEY, "
QUESTION = "Say hello in one short sentence."


@pytest.fixture
def without_demo(keyless: RunningCloud) -> Iterator[RunningCloud]:
    """The same cloud after a restart with the demo model switched off."""
    keyless.environ["SHMASTRA_DEMO_MODEL"] = "off"
    keyless.restart()
    yield keyless
    del keyless.environ["SHMASTRA_DEMO_MODEL"]
    keyless.restart()


def ask(page: Page) -> None:
    page.goto("/studio/agents/companion/threads/new")
    page.locator("textarea").fill(QUESTION)
    page.keyboard.press("Enter")


def test_the_demo_model_answers_and_is_named(keyless: RunningCloud, visit: Open) -> None:
    ann: Visit = visit(keyless.url)
    ann.page.goto(keyless.link("ann@example.com"))
    ann.page.get_by_role("button", name="Open my workspace").click()
    expect(ann.page.get_by_text(NOTE)).to_be_visible()  # on the workspace page
    ann.shot("workspace-demo")
    ann.page.wait_for_url("**/studio**")
    expect(ann.page.locator("#shmastra-note")).to_contain_text(NOTE)
    ask(ann.page)
    # on a busy machine the longest answer takes a while
    ann.page.wait_for_url(lambda url: "/threads/" in url and not url.endswith("/new"), timeout=120_000)
    ann.page.reload()
    expect(ann.page.get_by_role("main").get_by_text(QUESTION)).to_be_visible()
    ann.shot("studio-demo")
    (said,) = _answers(ann)
    assert len(said.split()) >= 3, said
    (used,) = keyless.json("usage", "--by", "model")
    assert used["model"].startswith("smollm2")
    assert used["requests"] == 1
    assert used["input_tokens"] > 5
    assert used["output_tokens"] > 2


def test_the_note_leaves_studio_whole_on_a_phone(keyless: RunningCloud, visit: Open) -> None:
    phone: Visit = visit(keyless.url, size=NARROW)
    phone.sign_in(keyless.link("ann@example.com"))
    phone.page.goto("/studio/agents/companion/threads/new")
    box = phone.page.locator("textarea").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < NARROW[1]
    phone.shot("studio-demo-phone")


def test_without_any_model_the_chat_names_the_variables_to_set(
    without_demo: RunningCloud, visit: Open
) -> None:
    bea: Visit = visit(without_demo.url)
    bea.sign_in(without_demo.link("bea@example.com"))
    expect(bea.page.locator("#shmastra-note")).to_contain_text("No model provider is configured")
    ask(bea.page)
    main = bea.page.get_by_role("main")
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"):
        expect(main.get_by_text(name).first).to_be_visible()
    bea.shot("studio-no-model")
    assert without_demo.pids()["demo"] == []


def _answers(visit: Visit) -> list[str]:
    """Return what the agent said in the thread that the page shows."""
    thread = visit.page.url.rpartition("/")[2]
    status, body = visit.fetch(f"/api/mastra/memory/threads/{thread}/messages?agentId=companion")
    assert status == 200
    return [one["content"]["content"] for one in body["messages"] if one["role"] == "assistant"]
