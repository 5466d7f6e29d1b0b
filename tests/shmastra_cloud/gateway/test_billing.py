import json
from decimal import Decimal

import pytest

from shmastra_cloud.gateway.asked import NOTHING_SPECIAL, Asked
from shmastra_cloud.gateway.billing import Seen, used
from shmastra_cloud.gateway.meter import Meter
from shmastra_cloud.gateway.prices import Prices
from shmastra_cloud.gateway.routes import Route, match, route_table
from shmastra_cloud.gateway.tokens import Tokens

USAGE = {"prompt_tokens": 10, "completion_tokens": 5}
WHOLE = Seen(complete=True, textual=True)
LEFT = Seen(complete=False, textual=False)


def route(path: bytes) -> Route:
    return match(route_table("openai"), b"/v1", "POST", b"/v1" + path).route


CHAT, SPEECH, HEARD = route(b"/chat/completions"), route(b"/audio/speech"), route(b"/audio/transcriptions")
IMAGES, EMBEDDINGS = route(b"/images/generations"), route(b"/embeddings")


def answered(*parts: dict[str, object]) -> Meter:
    meter = Meter()
    for part in parts:
        meter.chunk(b"data: " + json.dumps(part).encode() + b"\n\n")
    return meter


def test_what_was_told_is_what_was_used() -> None:
    meter = answered({"usage": USAGE})
    assert used(meter, CHAT, NOTHING_SPECIAL, b"x" * 4000, WHOLE) == Tokens(10, output=5)


def test_input_that_was_not_told_is_estimated_from_the_request() -> None:
    assert used(Meter(), CHAT, NOTHING_SPECIAL, b"x" * 4000, LEFT) == Tokens(1000, estimated=True)
    assert used(Meter(), EMBEDDINGS, NOTHING_SPECIAL, b"x" * 4000, WHOLE) == Tokens(1000, estimated=True)
    drawing = used(Meter(), IMAGES, NOTHING_SPECIAL, b"x" * 400, LEFT._replace(unseen=600))
    assert drawing == Tokens(100, output=600, estimated=True)


def test_speech_is_billed_by_its_text_and_a_recording_by_its_size() -> None:
    spoken = used(Meter(), SPEECH, Asked(characters=1000), b"{}", Seen(complete=True, textual=False))
    assert spoken.estimated
    assert Prices().price("openai", "tts-1", spoken) == Decimal("0.015")
    assert Prices().price("openai", "gpt-4o-mini-tts", spoken) == Decimal("0.01695")
    heard = used(Meter(), HEARD, NOTHING_SPECIAL, b"x" * 240_000, WHOLE)
    assert heard.estimated
    assert Prices().price("openai", "whisper-1", heard) == Decimal("0.006")
    assert Prices().price("openai", "gpt-4o-transcribe", heard) == Decimal("0.0036")


def test_searches_are_added_and_make_it_an_estimate() -> None:
    tokens = used(answered({"usage": USAGE}), CHAT, NOTHING_SPECIAL, b"", WHOLE._replace(searches=2))
    assert tokens == Tokens(10, output=5, estimated=True, more={"web_searches": 2})


@pytest.mark.parametrize(
    ("wanted", "served", "tier", "estimated"),
    [
        (None, None, None, False),
        (None, "priority", "priority", False),  # the project's own setting
        (None, "flex", None, False),  # repeated by the caller, who did not ask for it
        ("flex", "flex", "flex", False),
        ("flex", "default", "default", False),
        ("priority", "default", "default", False),
        (None, "default", "default", False),
        ("flex", None, None, True),
        ("priority", "priority", "priority", False),
        ("priority", None, "priority", True),
    ],
)
def test_a_cheap_tier_must_be_asked_for_and_served(
    wanted: str | None, served: str | None, tier: str | None, estimated: bool
) -> None:
    meter = answered({"usage": USAGE, "service_tier": served})
    tokens = used(meter, CHAT, Asked(tier=wanted), b"", WHOLE)
    assert (tokens.tier, tokens.estimated) == (tier, estimated)
