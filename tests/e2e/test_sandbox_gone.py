"""The sandbox is destroyed while an agent answers: Studio says so, and the workspace comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from e2b import Sandbox
from playwright.sync_api import expect
from tests.doubles.llm_provider import Endless
from tests.e2e.conftest import Open
from tests.support.browser import Visit
from tests.support.cloud import RunningCloud, wait_until
from tests.support.serving import Served

pytestmark = pytest.mark.journey

EMAIL = "ivy@example.com"


@pytest.fixture
def endless(provider: Served) -> Iterator[Endless]:
    """Every provider streams without end."""
    before, provider.app = provider.app, Endless()
    yield provider.app
    provider.app = before


def test_studio_shows_why_the_stream_ended_and_the_workspace_comes_back(
    cloud: RunningCloud, visit: Open, endless: Endless
) -> None:
    ivy: Visit = visit(cloud.url)
    ivy.sign_in(cloud.link(EMAIL))
    ivy.page.goto("/studio/agents/companion/threads/new")
    ivy.page.locator("textarea").fill("Please go on")
    ivy.page.keyboard.press("Enter")
    main = ivy.page.get_by_role("main")
    expect(main).to_contain_text("HelloHelloHello")
    (gone,) = cloud.rows(
        "select sandbox_id from sandboxes join users on users.id = user_id where email = $1", EMAIL
    )
    options = {name: value for name, value in cloud.engine.items() if name != "sandbox_url"}
    assert Sandbox.kill(gone["sandbox_id"], **options)
    expect(main.get_by_text("The sandbox stopped while it answered")).to_be_visible()
    ivy.shot("studio-sandbox-gone")
    wait_until(endless.gone.is_set, 5, "the provider to be left")
    ivy.page.goto("/workspace")
    ivy.shot("workspace-sandbox-gone")
    ivy.page.wait_for_url("**/studio**", timeout=60_000)
    status, told = ivy.fetch("/api/sandbox/status")
    assert (status, told["status"]) == (200, "ready")
    assert "the sandbox was gone" in [event["reason"] for event in told["events"]]
    expect(main.get_by_text("Companion", exact=True)).to_be_visible()
