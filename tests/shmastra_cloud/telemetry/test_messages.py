import json
from typing import Any

import pytest

from shmastra_cloud.telemetry.messages import CHARACTERS, MESSAGES, answered, asked


def read(written: str | None) -> Any:
    assert written is not None
    return json.loads(written)


def text(said: str) -> dict[str, str]:
    return {"type": "text", "content": said}


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}]},
        {"system": "be", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
        {"instructions": "be", "input": "hi"},
        {
            "instructions": "be",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        },
        {
            "systemInstruction": {"parts": [{"text": "be"}]},
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        },
    ],
)
def test_every_providers_request_reads_the_same(body: dict[str, Any]) -> None:
    assert read(asked(json.dumps(body).encode())) == [
        {"role": "system", "parts": [text("be")]},
        {"role": "user", "parts": [text("hi")]},
    ]


def sse(*events: Any) -> bytes:
    return b"".join(b"event: x\ndata: %b\n\n" % json.dumps(event).encode() for event in events)


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps({"choices": [{"message": {"role": "assistant", "content": "Hello you"}}]}).encode(),
        json.dumps({"content": [{"type": "text", "text": "Hello you"}]}).encode(),
        json.dumps({"output": [{"content": [{"type": "output_text", "text": "Hello you"}]}]}).encode(),
        json.dumps({"candidates": [{"content": {"parts": [{"text": "Hello you"}]}}]}).encode(),
        sse({"choices": [{"delta": {"content": "Hello"}}]}, {"choices": [{"delta": {"content": " you"}}]})
        + b"data: [DONE]\n\n",
        sse(
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hello"}},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": " you"}},
        ),
        sse(
            {"type": "response.output_text.delta", "delta": "Hello you"},
            {"type": "response.completed", "response": {"output": [{"content": [{"text": "Hello you"}]}]}},
        ),
        sse({"candidates": [{"content": {"parts": [{"text": "Hello"}, {"text": " you"}]}}]}),
    ],
)
def test_every_providers_answer_reads_the_same(answer: bytes) -> None:
    assert read(answered(answer)) == [{"role": "assistant", "parts": [text("Hello you")]}]


def test_what_is_no_text_is_named_only() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    body = {"messages": [{"role": "user", "content": [image]}]}
    assert read(asked(json.dumps(body).encode())) == [{"role": "user", "parts": [{"type": "image_url"}]}]


def test_the_latest_is_kept_where_it_is_too_long() -> None:
    said = [{"role": "user", "content": "old " * CHARACTERS}, {"role": "user", "content": "x" * 100}]
    kept = read(asked(json.dumps({"messages": said}).encode()))
    assert kept[-1]["parts"] == [text("x" * 100)]
    assert len(json.dumps(kept)) < CHARACTERS + 500
    many = read(asked(json.dumps({"messages": [{"role": "user", "content": "a"}] * 1000}).encode()))
    assert len(many) == MESSAGES


@pytest.mark.parametrize(
    "odd",
    [
        None,
        b"",
        b"{",
        b"3",
        b'"x"',
        b"[" * 100_000,
        b'{"messages": 3}',
        b'{"choices": [1, {"delta": 2}], "content": [[[[[[[1]]]]]]]}',
        b'{"type": "content_block_delta", "delta": {"text": 1}}',
        b"data: {\n\ndata: 1\n\n",
        b'{"candidates": {"content": {}}}',
    ],
)
def test_what_cannot_be_read_is_nothing(odd: bytes | None) -> None:
    assert asked(odd) is None
    assert answered(odd) is None
