import json
from typing import Any

import pytest

from shmastra_cloud.gateway.estimates import fields_of
from shmastra_cloud.gateway.meter import Meter
from shmastra_cloud.gateway.tokens import Tokens

CHAT_EVENT = {
    "id": "chatcmpl-abcdefghijklmnop",
    "object": "chat.completion.chunk",
    "service_tier": "default",
    "choices": [{"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}],
    "usage": None,
    "obfuscation": "abcdefgh",
}
ANTHROPIC_START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "usage": {
            "input_tokens": 25,
            "cache_creation_input_tokens": 30,
            "cache_read_input_tokens": 40,
            "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            "output_tokens": 1,
            "service_tier": "standard",
        },
    },
}
ANTHROPIC_EVENT = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a word, "}}
ANTHROPIC_END = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn"},
    "usage": {
        "input_tokens": 25,
        "cache_read_input_tokens": 40,
        "server_tool_use": None,
        "output_tokens": 90,
    },
}


def event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def metered(*pieces: bytes, style: Any = "openai", responses: bool = False, watch: bool = False) -> Meter:
    meter = Meter(fields_of(style, responses=responses))
    if watch:
        meter.watch()
    for piece in pieces:
        meter.chunk(piece)
    return meter


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"usage":{"prompt_tokens":3,"completion_tokens":4}}', Tokens(3, 0, 0, 4)),
        (
            (
                b'{"usage":{"input_tokens":3,"output_tokens":4,"input_tokens_details":{"cached_tokens":2},'
                b'"output_tokens_details":{"reasoning_tokens":1}}}'
            ),
            Tokens(3, 2, 1, 4),
        ),
        (
            b'{"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"thoughtsTokenCount":2}}',
            Tokens(3, 0, 2, 6),
        ),
        (b'{"usage":{"type":"duration","seconds":12}}', Tokens(more={"audio_seconds": 12})),
    ],
)
def test_usage_is_found_however_it_is_cut(text: bytes, expected: Tokens) -> None:
    for size in (1, 5, len(text)):
        meter = metered(*(text[at : at + size] for at in range(0, len(text), size)))
        assert meter.tokens(complete=True) == expected


def test_usage_quoted_in_the_answers_text_is_not_believed() -> None:
    meter = metered(
        b'{"usage":{"prompt_tokens":3,"completion_tokens":4},"x":"\\"usage\\":{\\"prompt_tokens\\":0}"}'
    )
    assert meter.tokens(complete=True).input == 3


def test_what_anthropic_tells_once_and_at_the_end_is_joined_over_a_long_stream() -> None:
    meter = metered(
        event(ANTHROPIC_START), *[event(ANTHROPIC_EVENT)] * 1000, event(ANTHROPIC_END), style="anthropic"
    )
    assert meter.tokens(complete=True) == Tokens(
        95, 40, 0, 90, cache_write=30, more={"cache_write_1h_tokens": 20}
    )


@pytest.mark.parametrize("count", [20, 1000])  # within what is kept, and beyond it
@pytest.mark.parametrize("watch", [False, True])
def test_a_stream_that_was_left_is_billed_for_what_it_showed(count: int, watch: bool) -> None:
    chat = metered(*[event(CHAT_EVENT)] * count, watch=watch).tokens(complete=False)
    assert chat.estimated
    assert chat.output == pytest.approx(count * 5 / 4, rel=0.01)
    begun = metered(event(ANTHROPIC_START), *[event(ANTHROPIC_EVENT)] * count, style="anthropic", watch=watch)
    told = begun.tokens(complete=False)
    assert (told.input, told.cached, told.cache_write, told.estimated) == (95, 40, 30, True)
    assert told.output == pytest.approx(count * 2, rel=0.01, abs=1)
    google = {"candidates": [{"content": {"parts": [{"text": "a word, "}]}}]}
    google["usageMetadata"] = {"promptTokenCount": 7, "candidatesTokenCount": 55}  # type: ignore[assignment]
    left = metered(*[event(google)] * count, style="google", watch=watch).tokens(complete=False)
    assert (left.input, left.output, left.estimated) == (7, 55, True)
    delta = {"type": "response.output_text.delta", "delta": " word", "item_id": "msg_0123456789"}
    answer = metered(*[event(delta)] * count, responses=True, watch=watch).tokens(complete=False)
    assert answer.output == pytest.approx(count * 5 / 4, rel=0.01)


def test_a_stream_that_showed_nothing_yet_is_billed_for_what_it_likely_made_unseen() -> None:
    created = {"type": "response.created", "response": {"instructions": "x" * 9000}}
    meter = metered(event(created), responses=True)
    assert meter.tokens(complete=False).output == 0
    assert meter.tokens(complete=False, unseen=300) == Tokens(output=300, estimated=True)


def test_an_answer_in_one_piece_without_usage_is_estimated_by_its_text_or_its_size() -> None:
    text = b'{"id":"x","choices":[{"message":{"role":"assistant","content":"%s"}}]}' % (b"word" * 100)
    assert metered(text).tokens(complete=True) == Tokens(output=100, estimated=True)
    assert metered(b"x" * 1000).tokens(complete=True) == Tokens(output=250, estimated=True)
    assert metered(b"x" * 1000).tokens(complete=True, textual=False) == Tokens(estimated=True)


def test_while_watched_a_stream_says_rather_too_much_of_what_it_showed() -> None:
    meter = Meter(fields_of("openai"))
    meter.watch()
    data = event({**CHAT_EVENT, "choices": [{"delta": {"content": "x" * 30}}]}) * 3
    for at in range(0, len(data), 100):  # events in pieces
        meter.chunk(data[at : at + 100])
    assert meter.so_far() == 30
    assert meter.tokens(complete=False).output == 23
    for _ in range(100):
        meter.chunk(
            event({**CHAT_EVENT, "choices": [{"delta": {"content": "x"}}]}) * 200
        )  # more than is kept
    assert meter.so_far() == 20_003


def tier(*named: str) -> str | None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    parts = [event({"service_tier": name}) for name in named]
    return metered(*parts, event({"usage": usage})).tokens(complete=True).tier


def test_the_tier_that_openai_served_is_read_and_the_dearest_named_is_believed() -> None:
    assert tier() is None
    assert tier("default") == tier("auto", "default") == "default"
    assert tier("flex") == "flex"
    assert tier("flex", "default") == "default"
    assert tier("priority", "default", "flex") == "priority"
    pretty = (
        b'{"service_tier": "priority", "x": "\\"service_tier\\": \\"flex\\"", "usage": {"prompt_tokens": 1}}'
    )
    assert metered(pretty).tokens(complete=True).tier == "priority"
