from typing import Any

import pytest

from shmastra_cloud.gateway.errors import BadPattern, ModelRefused
from shmastra_cloud.gateway.model_rule import ModelRule, checked_patterns, rule_of

RULE = ModelRule(("openai/gpt-5*", "anthropic/*"), ("openai/*-pro",))


@pytest.mark.parametrize(
    ("provider", "model", "allowed"),
    [
        ("openai", "gpt-5-mini", True),
        ("openai", "models/gpt-5-mini", True),
        ("openai", "gpt-5-pro", False),
        ("openai", "gpt-5-PRO", False),  # a provider that does not look at case would serve it
        ("openai", "GPT-5", False),
        ("openai", "gpt-4", False),
        ("openai", "gpt-5\n", False),
        ("openai", " gpt-5", False),
        ("openai", "gpt-5-pro ", False),
        ("openai", "", False),
        ("openai", "gpt-5" + "x" * 300, False),
        ("anthropic", "claude-opus-4-5", True),
        ("google", "gemini-2.5-pro", False),
        ("xopenai", "gpt-5", False),
    ],
)
def test_a_model_is_allowed_by_pattern(provider: str, model: str, *, allowed: bool) -> None:
    assert RULE.allows_model(provider, model) is allowed


def test_an_own_rule_takes_the_place_of_the_one_for_all_but_what_is_excluded_for_all_stays_so() -> None:
    assert rule_of(None, []) is None
    rule = rule_of(["openai/gpt-5*"], ["openai/*-mini", "!openai/*-pro"])
    assert rule is not None
    assert str(rule) == "openai/gpt-5*, !openai/*-pro"
    assert rule.allows_model("openai", "gpt-5")
    assert not rule.allows_model("openai", "gpt-5-pro")
    narrower = rule_of(["!openai/*-mini"], ["openai/*"])
    assert narrower is not None
    assert narrower.allows_model("openai", "gpt-5")
    assert not narrower.allows_model("openai", "gpt-5-mini")
    only_excluding = rule_of(None, ["!x/*"])
    assert only_excluding is not None
    assert only_excluding.allows_model("openai", "o3")
    assert str(only_excluding) == "*, !x/*"


def test_a_pattern_that_was_put_into_the_database_by_hand_matches_as_it_stands() -> None:
    rule = rule_of(["openai/gpt-[45]", "a(b"], None)
    assert rule is not None
    assert not rule.allows_model("openai", "gpt-5")
    many = rule_of(["*a*a*a*a*a*a*a*a*a*a*a*a*b/x"], None)  # nor does it take for ever
    assert many is not None
    assert not many.allows_model("a" * 100, "a" * 190)


@pytest.mark.parametrize(
    "pattern",
    ["gpt-5", "", "!", "openai/", "/x", "openai/gpt 5", "openai/[a]", "gemini/*", "!gemini/x", "A/x"],
)
def test_a_pattern_that_could_never_match_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        checked_patterns([pattern])


def test_patterns_are_kept_once_and_bounded() -> None:
    assert checked_patterns([" openai/* ", "openai/*", "*", "!*", "!groq/meta/llama?"]) == [
        "openai/*",
        "*",
        "!*",
        "!groq/meta/llama?",
    ]
    with pytest.raises(BadPattern):
        checked_patterns(f"a/{number}" for number in range(201))


@pytest.mark.parametrize(
    "asked",
    [
        {"model": "gpt-5-pro"},
        {"model": "gpt-5", "models": ["gpt-5-pro"]},
        {"model": "gpt-5", "Models": ["gpt-4"]},
        {"model": "gpt-5", "Model": "gpt-4"},
        {"model": "gpt-5", "fallback": "gpt-4"},
        {"model": "gpt-5", "fallbacks": [{"model": "gpt-5"}]},
        {"model": "gpt-5", "tools": [{"type": "image_generation", "model": "gpt-image-1"}]},
        {"model": "gpt-5", "extra_body": {"models": ["gpt-4"]}},
        {"model": "gpt-5", "session": {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}},
        {"model": "gpt-5", "preset": "gpt-5"},
        {"model": ["gpt-5"], "models": {"gpt-5": 1}},
        {"model": None},
        {"model": 5},
        {"models": []},
        {"tools": [{"model": "gpt-5"}]},
        {"prompt": {"id": "pmpt_1"}},
        {},
    ],
)
def test_a_body_cannot_go_around_the_rule(asked: dict[str, Any]) -> None:
    with pytest.raises(ModelRefused):
        RULE.check_body("openai", asked, needed=True)


@pytest.mark.parametrize(
    "asked",
    [
        {"model": "gpt-5"},
        {"models": ["gpt-5", "gpt-5-mini"]},
        {"model": "gpt-5", "input": [{"model": "Tesla"}], "metadata": {"model": "T"}},
        {"model": "gpt-5", "messages": [{"content": [{"input": {"model": "Tesla"}}]}]},
        {"model": "gpt-5", "tools": [{"parameters": {"properties": {"model": {"enum": ["T"]}}}}]},
        {"model": "gpt-5", "text": {"format": {"schema": {"default": {"model": "T"}}}}},
    ],
)
def test_what_is_talked_about_is_no_model(asked: dict[str, Any]) -> None:
    RULE.check_body("openai", asked, needed=True)


def test_where_the_path_names_the_model_a_body_may_but_need_not() -> None:
    rule = ModelRule(("google/gemini-*",))
    rule.check_body("google", {"contents": []}, needed=False)
    rule.check_body("google", {"requests": [{"model": "models/gemini-x", "content": {}}]}, needed=False)
    with pytest.raises(ModelRefused, match="google/other is not allowed here; allowed: google/gemini-"):
        rule.check_body("google", {"requests": [{"model": "models/other"}]}, needed=False)


def test_a_refusal_shows_no_control_characters() -> None:
    with pytest.raises(ModelRefused) as refused:
        RULE.check("openai", "x\x1b[0m\u202e")
    assert str(refused.value).isprintable()
