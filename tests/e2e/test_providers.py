"""Each provider as the only one: a chat through a real agent, over the API, and the row that it leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from tests.doubles.llm_provider import REAL_KEY, TEXT
from tests.support.cloud import RunningCloud, wait_until
from tests.support.serving import Served

pytestmark = pytest.mark.journey


@dataclass(frozen=True)
class Only:
    """What is set, and what a chat leads to: the stand-in's path and the tokens that it counts."""

    name: str
    key: str
    url: str
    version: str
    path: str
    model: str
    tokens: tuple[int, int]


ANTHROPIC = Only(
    "anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "/v1", "/v1/messages", "claude-", (9, 5)
)
GOOGLE = Only(
    "google",
    "GOOGLE_GENERATIVE_AI_API_KEY",
    "GOOGLE_GENERATIVE_AI_BASE_URL",
    "/v1beta",
    "/v1beta/models/gemini-",
    "gemini-",
    (6, 5),
)
USAGE = "select * from usage_events join users on users.id = user_id where email = $1"


@pytest.fixture(params=[ANTHROPIC, GOOGLE], ids=lambda only: only.name)
def only(request: pytest.FixtureRequest, keyless: RunningCloud, provider: Served) -> Iterator[Only]:
    """Restart the cloud with one provider; the next test takes it away again."""
    here: Only = request.param
    variables = {here.key: REAL_KEY, here.url: provider.url + here.version}
    keyless.environ |= variables
    keyless.restart()
    yield here
    for name in variables:
        del keyless.environ[name]


def test_an_agent_answers_through_the_only_provider(
    only: Only, keyless: RunningCloud, provider: Served
) -> None:
    email = f"{only.name}@example.com"
    client = keyless.signed_in(email)
    keyless.until(client, "ready")
    assert "tiny demo model" not in client.get("/studio").text
    said = _chat(client)
    assert "".join(said) == TEXT
    assert len(said) >= 3
    asked = provider.app.asked[-1]
    assert asked["path"].startswith(only.path)
    assert REAL_KEY in {asked["headers"].get("x-api-key"), asked["headers"].get("x-goog-api-key")}
    wait_until(lambda: bool(keyless.rows(USAGE, email)), 5, "the usage row")
    (row,) = keyless.rows(USAGE, email)
    assert (row["provider"], row["status"], row["ended"]) == (only.name, 200, "complete")
    assert (row["input_tokens"], row["output_tokens"]) == only.tokens
    assert row["model"].startswith(only.model)


def _chat(client: httpx.Client) -> list[str]:
    """Ask the template's agent something and return the pieces of its answer."""
    body = {"messages": [{"role": "user", "content": "Please greet me"}]}
    with client.stream("POST", "/api/mastra/agents/companion/stream", json=body) as answer:
        assert answer.status_code == 200
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: {")]
    chunks = [json.loads(line) for line in lines]
    return [chunk["payload"]["text"] for chunk in chunks if chunk["type"] == "text-delta"]
