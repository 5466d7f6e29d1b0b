"""Two users at once, each in a browser of his own: nothing of one's is seen by the other, by any route."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, expect
from tests.doubles.llm_provider import TEXT
from tests.support.browser import Visit
from tests.support.cloud import RunningCloud, wait_until

pytestmark = pytest.mark.journey

CARL, DORA = "carl@example.com", "dora@example.com"
SECRET = "my secret lighthouse"
AGENT = """
import { Agent } from '@mastra/core/agent';
import { getModel } from '../models';

export const hermit = new Agent({
  id: 'hermit', name: 'Hermit', instructions: 'Be brief.', model: async () => getModel('fast'),
});
"""


@dataclass
class Pair:
    """Two signed-in browsers and their sandboxes' ids."""

    carl: Visit
    dora: Visit
    carls: str
    doras: str


@pytest.fixture(scope="module")
def pair(browser: Browser, cloud: RunningCloud) -> Iterator[Pair]:
    """Carl has chatted, written a file and made an agent; Dora has done nothing."""
    carl, dora = Visit(browser, cloud.url), Visit(browser, cloud.url)
    for visit, email in ((carl, CARL), (dora, DORA)):
        visit.sign_in(cloud.link(email))
    carls, doras = (cloud.json("sandbox", "show", email)["sandbox_id"] for email in (CARL, DORA))
    sandbox = cloud.sandbox(CARL)
    project = "/home/user/shmastra"
    sandbox.files.write(f"{project}/{SECRET}.txt", SECRET)
    sandbox.files.write("/tmp/hermit.ts", AGENT)
    index = sandbox.files.read(f"{project}/src/mastra/index.ts")
    index = "import { hermit } from './agents/hermit';\n" + index.replace(
        "{ assistant, companion }", "{ assistant, companion, hermit }"
    )
    sandbox.files.write("/tmp/index.ts", index)
    # both at once: the dev server starts anew once
    sandbox.commands.run(f"cd {project}/src/mastra && mv /tmp/hermit.ts agents/ && mv /tmp/index.ts index.ts")
    wait_until(lambda: "hermit" in _agents(carl, {}), 30, "the new agent")
    carl.page.goto("/studio/agents/companion/threads/new")
    carl.page.locator("textarea").fill(SECRET)
    carl.page.keyboard.press("Enter")
    expect(carl.page.get_by_role("main").get_by_text(TEXT)).to_be_visible()
    yield Pair(carl, dora, carls, doras)
    carl.close()
    dora.close()


def test_each_sees_his_own_agents_threads_files_and_traces(pair: Pair) -> None:
    assert (_threads(pair.carl), _threads(pair.dora)) == (1, 0)
    for visit, count in ((pair.carl, 1), (pair.dora, 0)):
        main = visit.page.get_by_role("main")
        visit.page.goto("/studio/agents")
        expect(main.get_by_text("Companion", exact=True)).to_be_visible()
        expect(main.get_by_text("Hermit", exact=True)).to_have_count(count)
        visit.page.goto("/studio/workspaces")
        expect(visit.page.get_by_text("package.json", exact=True)).to_be_visible()
        expect(visit.page.get_by_text(f"{SECRET}.txt", exact=True)).to_have_count(count)
    wait_until(lambda: SECRET in _traces(pair.carl), 30, "the trace to be written")
    for visit, shown in ((pair.carl, SECRET), (pair.dora, "No traces")):
        visit.page.goto("/studio/traces")
        expect(visit.page.get_by_role("main").get_by_text(shown).first).to_be_visible()
    assert SECRET not in _traces(pair.dora)


@pytest.mark.parametrize(
    "headers",
    [
        {"E2b-Sandbox-Id": "{id}"},
        {"E2b-Sandbox-Id": "{id}", "E2b-Sandbox-Port": "4111"},
        {"e2b-sandbox-id": "{id}", "e2b-traffic-access-token": "{token}"},
        {"x-mastra-auth-token": "{mastra}", "Authorization": "Bearer {mastra}"},
        {"X-Forwarded-Host": "4111-{id}.e2b.app", "X-Forwarded-For": "127.0.0.1", "Forwarded": "host={id}"},
        {"X-Shmastra-User": DORA, "X-User-Id": DORA},
    ],
    ids="+".join,
)
def test_no_header_leads_into_anothers_sandbox(
    pair: Pair, cloud: RunningCloud, headers: dict[str, str]
) -> None:
    env = cloud.sandbox(DORA).files.read("/home/user/shmastra/.env")
    mastra = next(
        line.partition("=")[2] for line in env.splitlines() if line.startswith("MASTRA_AUTH_TOKEN=")
    )
    record = (cloud.data / "engine/sandboxes" / pair.doras / "sandbox.json").read_text()
    token = re.findall(r'"traffic_token": "(\w+)"', record)[0]
    filled = {
        name: value.format(id=pair.doras, token=token, mastra=mastra) for name, value in headers.items()
    }
    assert "hermit" in _agents(pair.carl, filled)
    swapped = {name: value.replace(pair.doras, pair.carls) for name, value in filled.items()}
    assert "hermit" not in _agents(pair.dora, swapped)


def test_a_path_or_a_query_leads_nowhere_either(pair: Pair) -> None:
    for query in (f"?sandbox={pair.carls}", f"?user={CARL}", f"?E2b-Sandbox-Id={pair.carls}"):
        assert "hermit" not in _agents(pair.dora, {}, query)
    status, _ = pair.dora.fetch(f"/api/mastra/{pair.carls}/agents")
    assert status == 404


def _agents(visit: Visit, headers: dict[str, str], query: str = "") -> list[str]:
    status, body = visit.fetch(f"/api/mastra/agents{query}", headers=headers)
    return sorted(body) if status == 200 else []


def _traces(visit: Visit) -> str:
    status, body = visit.fetch("/api/mastra/observability/traces")
    assert status == 200
    return str(body)


def _threads(visit: Visit) -> int:
    _, body = visit.fetch("/api/mastra/memory/threads?agentId=companion")
    total = body["total"]
    assert isinstance(total, int)
    return total
