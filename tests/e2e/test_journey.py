"""From the one-time link to an answer in Studio, in a real browser, and what it left behind."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from tests.doubles.llm_provider import REAL_KEY, TEXT
from tests.support.browser import Visit
from tests.support.cloud import RunningCloud, wait_until
from tests.support.serving import Served

pytestmark = pytest.mark.journey

EMAIL = "admin@localhost"
QUESTION = "Please greet me"
USAGE = "select * from usage_events join users on users.id = user_id where email = $1"
PREFIXES = [TEXT[: TEXT.index(word) + len(word)] for word in ("Hello", " from", " the", " stand-in", ".")]
WATCH_STAGES = """
addEventListener("DOMContentLoaded", () => {
  if (!document.getElementById("stages")) return;
  const now = () => document.querySelector("#stages li.now");
  const tell = () => now() && sawStage(now().dataset.stage);
  new MutationObserver(tell).observe(document.body, {subtree: true, attributes: true});
});
"""
# Run in the sandbox, by its user and by its root, who has no right to read others' files: where some words
# stand in files, environments and command lines.
SCAN = """
import json, os, sys
words = [word[::-1].encode() for word in sys.argv[1:]]
found = [set(), set()]
def look(path):
    try:
        with open(path, 'rb') as file: data = file.read(50_000_000)
    except OSError: return
    for word, places in zip(words, found):
        if word in data: places.add(path)
for pid in filter(str.isdigit, os.listdir('/proc')):
    for name in ('environ', 'cmdline'): look(f'/proc/{pid}/{name}')
for top in ('/home', '/tmp', '/etc', '/opt', '/run', '/var', '/root', '/dev/shm'):
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name != 'node_modules']
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path): look(path)
print(json.dumps([sorted(places) for places in found]))
"""


@dataclass
class Told:
    """What the workspace page showed on the way."""

    stages: list[str] = field(default_factory=list)

    def saw(self, _source: Any, stage: str) -> None:
        if self.stages[-1:] != [stage]:
            self.stages.append(stage)


@dataclass
class Journey:
    """The admin's browser after he came in by the link of the first start."""

    visit: Visit
    told: Told
    thread: str = ""


@pytest.fixture(scope="module")
def journey(browser: Browser, cloud: RunningCloud) -> Iterator[Journey]:
    visit, told = Visit(browser, cloud.url), Told()
    visit.context.expose_binding("sawStage", told.saw)
    visit.page.add_init_script(WATCH_STAGES)
    visit.sign_in(cloud.admin_link)
    yield Journey(visit, told)
    visit.close()


def test_the_workspace_page_shows_real_stages_without_asking_again(journey: Journey) -> None:
    visit, stages = journey.visit, journey.told.stages
    assert len(stages) >= 2, stages
    order = ["queued", "creating", "starting", "waiting"]
    assert stages == [stage for stage in order if stage in stages]
    assert visit.asked("/workspace", "document") == 1
    assert visit.asked("/api/sandbox/events", "eventsource") == 1
    assert visit.asked("/api/sandbox/status") == 0


def test_studio_shows_the_templates_agents(journey: Journey) -> None:
    page = journey.visit.page
    for name in ("Assistant", "Companion"):
        expect(page.get_by_role("main").get_by_text(name, exact=True)).to_be_visible()
    expect(page.locator("#shmastra-note")).to_have_count(0)
    journey.visit.shot("studio-agents")


def test_an_answer_streams_in_and_the_thread_is_there_after_a_reload(journey: Journey) -> None:
    visit = journey.visit
    visit.page.get_by_role("main").get_by_text("Companion", exact=True).click()
    visit.page.locator("textarea").fill(QUESTION)
    visit.page.keyboard.press("Enter")
    seen: list[str] = []

    def grew() -> bool:
        shown = visit.text("main")
        longest = next((prefix for prefix in reversed(PREFIXES) if prefix in shown), "")
        if longest and seen[-1:] != [longest]:
            seen.append(longest)
        return longest == TEXT

    wait_until(grew, 30, "the whole answer", seen)
    assert len(seen) >= 3, "the answer came at once"
    assert seen == sorted(seen, key=len)
    visit.page.wait_for_url(lambda url: "/threads/" in url and not url.endswith("/new"))
    journey.thread = visit.page.url
    main = visit.page.get_by_role("main")
    expect(main.get_by_text("Your conversations will appear here")).to_have_count(0)
    expect(main.get_by_text(QUESTION)).to_have_count(1)
    visit.page.reload()
    for text in (QUESTION, TEXT):
        expect(main.get_by_text(text).first).to_be_visible()
    visit.shot("studio-chat")


def test_studios_pages_work(journey: Journey) -> None:
    visit, page = journey.visit, journey.visit.page
    page.goto("/studio/tools")
    page.get_by_role("main").get_by_text("clock", exact=True).click()
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text(f'"{time.strftime("%Y-%m-%dT", time.gmtime())}')).to_be_visible()
    visit.shot("studio-tool")
    page.goto("/studio/workflows")
    page.get_by_role("main").get_by_text("word-count", exact=True).click()
    page.get_by_role("textbox", name="Text").fill("one two three")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("Success").first).to_be_visible()
    visit.shot("studio-workflow")
    page.goto("/studio/settings")
    expect(page.get_by_text("Customize the appearance of the studio.")).to_be_visible()
    visit.shot("studio-settings")


def test_the_chat_left_a_trace(journey: Journey) -> None:
    visit, page = journey.visit, journey.visit.page
    page.goto("/studio/traces")
    row = page.get_by_role("main").get_by_text(QUESTION).first
    expect(row).to_be_visible()
    row.click()
    expect(page.get_by_text("gpt-5-mini").first).to_be_visible()
    visit.shot("studio-traces")


def test_the_console_stayed_clean_and_nothing_left_the_origin(journey: Journey) -> None:
    assert journey.thread, "nobody has chatted yet"
    assert journey.visit.errors == []
    assert journey.visit.strangers == set()


def test_the_call_was_counted(journey: Journey, cloud: RunningCloud, provider: Served) -> None:
    (used,) = cloud.json("usage", "--by", "model")
    assert used["model"] == "gpt-5-mini"
    (mine,) = (row for row in cloud.json("usage", "--by", "user") if row["user"] == EMAIL)
    assert (mine["requests"], mine["input_tokens"], mine["output_tokens"]) == (1, 8, 5)
    (row,) = cloud.rows(USAGE, EMAIL)
    assert (row["provider"], row["status"], row["ended"]) == ("openai", 200, "complete")
    assert row["duration_ms"] >= 250
    (asked,) = (one for one in provider.app.asked if QUESTION in str(one["body"]))
    assert asked["path"] == "/v1/responses"
    assert asked["headers"]["authorization"] == f"Bearer {REAL_KEY}"


def test_the_sandbox_holds_a_virtual_key_and_no_real_one(journey: Journey, cloud: RunningCloud) -> None:
    sandbox = cloud.sandbox(EMAIL)
    sandbox.files.write("/tmp/scan.py", SCAN)
    env = sandbox.files.read("/home/user/shmastra/.env")
    virtual = next(line.partition("=")[2] for line in env.splitlines() if line.startswith("OPENAI_API_KEY="))
    assert virtual.startswith("vk_")
    words = f"{REAL_KEY[::-1]} {virtual[::-1]}"
    own: set[str] = set()
    for user in ("user", "root"):
        done = sandbox.commands.run(f"python3 /tmp/scan.py {words}", user=user, timeout=60)
        real, virtual_key = json.loads(done.stdout)
        assert real == []
        own.update(virtual_key)
    # the search finds what is there, in files and in processes
    assert "/home/user/shmastra/.env" in own
    assert any(place.startswith("/proc/") for place in own)
    assert REAL_KEY not in sandbox.commands.run("ps axeww").stdout
