import pytest

from shmastra_cloud.gateway.asked import NOTHING_SPECIAL, Asked, asked_of


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (
            {"model": "gpt-5", "messages": [], "input": "text", "tools": [{"type": "function"}]},
            NOTHING_SPECIAL,
        ),
        ({"service_tier": "auto"}, NOTHING_SPECIAL),
        ({"service_tier": "flex"}, Asked(tier="flex")),
        ({"serviceTier": "PRIORITY"}, Asked(tier="priority")),
        ({"model": "tts-1", "voice": "alloy", "input": "Hello"}, Asked(characters=5)),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, Asked(thinks=True)),
        ({"thinking": {"type": "adaptive"}}, Asked(thinks=True)),
        ({"thinking": {"type": "disabled"}}, NOTHING_SPECIAL),
        ({"tools": [{"type": "web_search_preview"}]}, Asked(searches=True)),
        ({"tools": [{"google_search": {}}]}, Asked(searches=True)),
        ({"tools": [{"googleSearch": {}}]}, Asked(searches=True)),
        ({"web_search_options": {}}, Asked(searches=True)),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, NOTHING_SPECIAL),
        ({"tools": "web_search", "thinking": 3, "service_tier": [], "input": 3, "voice": 3}, NOTHING_SPECIAL),
        ({"tools": [None, 3, {"type": 3}]}, NOTHING_SPECIAL),
    ],
)
def test_what_changes_a_price_is_read_and_nonsense_is_nothing(body: dict[str, object], asked: Asked) -> None:
    assert asked_of(body) == asked
