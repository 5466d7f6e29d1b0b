import base64
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmastra_cloud.gateway.estimates import Shown, estimate_input, fields_of, shown
from shmastra_cloud.gateway.formats import Format

CHAT = fields_of("openai")
RESPONSES = fields_of("openai", responses=True)


@pytest.mark.parametrize(
    ("style", "responses", "event", "text"),
    [
        ("openai", False, {"choices": [{"index": 0, "delta": {"content": "Hello"}}], "usage": None}, "Hello"),
        ("openai", False, {"choices": [{"delta": {"reasoning_content": "hm", "content": None}}]}, "hm"),
        ("openai", False, {"choices": [{"text": "Hello"}]}, "Hello"),
        (
            "openai",
            False,
            {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "abc"}}]}}]},
            "abc",
        ),
        ("openai", True, {"type": "response.output_text.delta", "delta": "Hello", "logprobs": []}, "Hello"),
        ("openai", True, {"type": "response.output_text.done", "text": "Hello"}, ""),
        ("openai", True, {"type": "response.function_call_arguments.delta", "delta": "abc"}, "abc"),
        (
            "anthropic",
            False,
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}},
            "Hi",
        ),
        ("anthropic", False, {"delta": {"type": "thinking_delta", "thinking": "hm"}}, "hm"),
        ("anthropic", False, {"delta": {"type": "input_json_delta", "partial_json": "abc"}}, "abc"),
        ("anthropic", False, {"delta": {"type": "signature_delta", "signature": "abcdef"}}, ""),
        (
            "google",
            False,
            {"candidates": [{"content": {"parts": [{"text": "Hello"}], "role": "model"}}]},
            "Hello",
        ),
    ],
)
def test_what_a_stream_shows_is_found_by_the_names_of_its_fields(
    style: Format, responses: bool, event: dict[str, object], text: str
) -> None:
    expected = Shown(1, len(text)) if text else Shown()
    for separators in ((",", ":"), (", ", ": ")):
        data = b"data: " + json.dumps(event, separators=separators).encode() + b"\n\n"
        assert shown(data, fields_of(style, responses=responses)) == expected


@given(st.lists(st.text(min_size=1), max_size=8))
def test_every_text_counts_with_all_its_bytes_whatever_is_in_it(texts: list[str]) -> None:
    events = [json.dumps({"choices": [{"delta": {"content": text}}]}, ensure_ascii=False) for text in texts]
    data = "".join(f"data: {event}\n\n" for event in events).encode("utf-8", "surrogatepass")
    sizes = [len(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")) - 2 for text in texts]
    assert shown(data + b" " * 512, CHAT) == Shown(len(texts), sum(sizes))


def test_a_text_that_speaks_of_fields_is_one_text() -> None:
    quoted = json.dumps({"delta": "x", "content": "y", "text": "z"})
    data = b"data: " + json.dumps({"delta": quoted}).encode()
    assert shown(data, RESPONSES).pieces == 1
    assert shown(b'{"content":"half of a te', CHAT) == Shown(1, 12)


def test_a_piece_is_a_token_at_least_and_four_bytes_are_one() -> None:
    assert (Shown(3, 4).tokens(), Shown(1, 401).tokens(), Shown(1, 9).tokens(3)) == (3, 101, 3)


def test_input_is_four_bytes_a_token_and_what_is_attached_far_fewer() -> None:
    text = json.dumps({"messages": [{"content": "word " * 4000}]}).encode()
    assert estimate_input(text) == len(text) // 4
    picture = base64.b64encode(random.Random(1).randbytes(750_000)).decode()
    body = json.dumps({"image_url": {"url": f"data:image/png;base64,{picture}"}}).encode()
    assert 15_000 < estimate_input(body) < 20_000
    unspaced = json.dumps({"content": "語" * 4000}, ensure_ascii=False).encode()
    assert estimate_input(unspaced) == len(unspaced) // 4
