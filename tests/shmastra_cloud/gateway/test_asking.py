import json
from typing import Any

import pytest

from shmastra_cloud.gateway import Prices, PriceUnknown, providers_from_env
from shmastra_cloud.gateway.asking import STEP_TOKENS, Outlook, estimate, outlook, priced, unpriced
from shmastra_cloud.gateway.bodies import Body, inspect
from shmastra_cloud.gateway.routes import match

PROVIDERS = providers_from_env({"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"})
PRICES = Prices()
PATHS = {
    "openai": b"/v1/chat/completions",
    "anthropic": b"/v1/messages",
    "google": b"/v1beta/models/gemini-2.0-flash:streamGenerateContent",
}
HI = [{"role": "user", "content": "hi"}]


def asked(name: str, model: str | None, path: bytes | None = None, **fields: Any) -> Any:
    provider = PROVIDERS[name]
    matched = match(provider.routes, provider.version, "POST", path or PATHS[name])
    body = Body(json.dumps({"model": model, "messages": HI, **fields}).encode(), whole=True)
    body.fields = json.loads(body.data)
    from shmastra_cloud.gateway.asked import asked_of

    body.asked = asked_of(body.fields)
    return estimate(PRICES, provider, matched, model or matched.model, body)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Outlook()),
        ({"stream": True, "max_tokens": 5}, Outlook(True, 5)),
        ({"stream": "yes", "max_tokens": 5, "max_completion_tokens": 9}, Outlook(False, 9)),
        ({"max_output_tokens": 10**30}, Outlook(False, 10_000_000)),
        ({"max_tokens": -1, "n": 3}, Outlook(False, None, 3)),
        ({"max_tokens": True, "n": "many"}, Outlook()),
        ({"n": 10**9}, Outlook(False, None, 128)),
        ({"generationConfig": {"maxOutputTokens": 7, "candidateCount": 2}}, Outlook(False, 7, 2)),
        ({"generationConfig": [1]}, Outlook()),
    ],
)
def test_a_request_says_how_long_its_answer_may_be(fields: dict[str, Any], expected: Outlook) -> None:
    assert outlook(fields, b"/chat/completions") == expected


def test_google_says_in_the_path_that_it_streams() -> None:
    assert outlook({}, b"/models/x:streamGenerateContent").streamed
    assert not outlook({}, b"/models/x:generateContent").streamed


def test_what_is_seen_as_it_comes_begins_with_a_step_and_the_rest_with_all() -> None:
    seen = asked("openai", "gpt-4o", stream=True)
    assert seen.visible
    assert seen.ask.start == seen.base + seen.ask.step
    assert seen.ask.step == STEP_TOKENS * 1000  # 10 USD for a million tokens
    assert seen.base < seen.ask.least < seen.ask.start
    assert seen.cost(10) == seen.base + 10_000
    short = asked("openai", "gpt-4o", stream=True, max_tokens=4)
    assert short.ask.start == short.ask.least == short.base + 4000
    for hidden in (
        asked("openai", "gpt-4o", max_tokens=50),
        asked("openai", "gpt-5", stream=True, max_completion_tokens=50),
        asked("openai", "gpt-4o", n=5, max_tokens=10),
    ):
        assert not hidden.visible
        assert hidden.ask.step == 0
        assert hidden.ask.least == hidden.ask.start == pytest.approx(hidden.base + 50_000, rel=0.02)
    assert asked("openai", "gpt-5").ask.least > 128_000 * 1000


def test_claude_hides_only_what_it_was_told_to_think() -> None:
    model = "claude-sonnet-4-5"
    assert asked("anthropic", model, stream=True, max_tokens=99).visible
    thinking = {"type": "enabled", "budget_tokens": 2000}
    assert not asked("anthropic", model, stream=True, max_tokens=99, thinking=thinking).visible


def test_a_longer_request_costs_more_and_hardly_too_much() -> None:
    short = asked("openai", "gpt-4o")
    long = asked("openai", "gpt-4o", more="words " * 10_000)
    assert long.base > short.base
    tokens = long.ask.tokens
    assert tokens == pytest.approx(60_000 / 3, rel=0.01)
    assert tokens * 250 <= long.base <= tokens * 250 * 1.04


def test_searches_are_reserved_too() -> None:
    plain = asked("openai", "gpt-4o-search-preview", stream=True)
    searching = asked("openai", "gpt-4o-search-preview", stream=True, web_search_options={})
    assert searching.base >= plain.base


def test_no_price_is_said_so_and_the_demo_is_free() -> None:
    with pytest.raises(PriceUnknown, match="SHMASTRA_PRICES"):
        asked("openai", "no-such-model")
    with pytest.raises(PriceUnknown, match="This model"):
        priced(PRICES, "openai", None, None, 5)
    free = asked("demo", "tiny", path=b"/v1/chat/completions", stream=True)
    assert (free.ask.start, free.rate) == (0, 0)


def test_an_upload_is_taken_for_as_long_as_it_may_be() -> None:
    provider = PROVIDERS["openai"]
    matched = match(provider.routes, provider.version, "POST", b"/v1/audio/transcriptions")
    part = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    costs = []
    for whole in (True, False):
        body = Body(part + b"x" * 1000, whole=whole)
        inspect(body, matched.route, b"multipart/form-data; boundary=b")
        costs.append(estimate(PRICES, provider, matched, body.model, body).ask.least)
    assert 0 < costs[0] < costs[1]


def test_without_a_budget_only_tokens_and_streams_are_asked_for() -> None:
    provider = PROVIDERS["openai"]
    matched = match(provider.routes, provider.version, "POST", PATHS["openai"])
    body = Body(b'{"stream":true}', whole=True, fields={"stream": True})
    ask = unpriced(matched, body).ask
    assert (ask.start, ask.streams) == (0, True)
    assert ask.tokens > 0
