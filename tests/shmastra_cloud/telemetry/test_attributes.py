from typing import Any

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as names
from tests.shmastra_cloud.telemetry.rows import USER, row

from shmastra_cloud.telemetry.attributes import attributes, failure, operation, span_name
from shmastra_cloud.telemetry.seen import Seen


def seen(answer: bytes, path: bytes = b"/api/gateway/openai/v1/chat/completions") -> Seen:
    found = Seen({"raw_path": path, "headers": []}, content=False)
    found._see(answer)
    return found


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/api/gateway/openai/v1/chat/completions", "chat"),
        (b"/api/gateway/openai/v1/responses", "chat"),
        (b"/api/gateway/anthropic/v1/messages", "chat"),
        (b"/api/gateway/anthropic/v1/messages/count_tokens", "count_tokens"),
        (b"/api/gateway/google/v1beta/models/gemini-x:streamGenerateContent", "generate_content"),
        (b"/api/gateway/google/v1beta/models/gemini-x:countTokens", "count_tokens"),
        (b"/api/gateway/google/v1beta/models/gemini-x:batchEmbedContents", "embeddings"),
        (b"/api/gateway/openai/v1/embeddings", "embeddings"),
        (b"/api/gateway/openai/v1/images/generations", "image_generation"),
        (b"/api/gateway/openai/v1/audio/speech", "speech"),
        (b"/api/gateway/openai/v1/models", "models"),
        (b"/api/gateway/composio/api/v3/tools/execute/GMAIL_SEND", "execute_tool"),
        (b"/api/gateway/openai/v1/whatever/a user chose", "other"),
        (b"", "other"),
    ],
)
def test_an_operation_is_one_of_a_few_words(path: bytes, name: str) -> None:
    assert operation(path) == name


def test_the_conventions_names_are_used() -> None:
    answer = b'{"id":"chatcmpl-1","model":"gpt-5-mini-2026","choices":[{"finish_reason":"stop"}]}'
    found = attributes(row(), seen(answer), ("api.openai.com", 443))
    assert found == {
        names.GEN_AI_OPERATION_NAME: "chat",
        names.GEN_AI_PROVIDER_NAME: "openai",
        names.GEN_AI_SYSTEM: "openai",
        names.GEN_AI_REQUEST_MODEL: "gpt-5-mini",
        names.GEN_AI_RESPONSE_ID: "chatcmpl-1",
        names.GEN_AI_RESPONSE_MODEL: "gpt-5-mini-2026",
        names.GEN_AI_RESPONSE_FINISH_REASONS: ["stop"],
        names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: 0.012,
        names.GEN_AI_USAGE_INPUT_TOKENS: 10,
        names.GEN_AI_USAGE_OUTPUT_TOKENS: 5,
        names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: 2,
        names.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS: 3,
        names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: 1,
        "server.address": "api.openai.com",
        "server.port": 443,
        "http.response.status_code": 200,
        "shmastra.user.id": str(USER),
        "shmastra.purpose": "agent",
        "shmastra.ended": "complete",
        "shmastra.estimated": False,
        "shmastra.cost_usd": 0.00125,
    }


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            b'data: {"message":{"model":"claude-x","id":"msg_1"}}\n\ndata: {"stop_reason":"end_turn"}\n\n',
            ("msg_1", "claude-x", ["end_turn"]),
        ),
        (
            b'{"candidates":[{"finishReason":"STOP"}],"modelVersion":"gemini-x-1","responseId":"r1"}',
            ("r1", "gemini-x-1", ["STOP"]),
        ),
        (b'{"text":"say \\"id\\":\\"mine\\", \\"finish_reason\\":\\"secret\\""}', (None, None, None)),
        (b"\x00\xff" * 100, (None, None, None)),
    ],
)
def test_what_an_answer_says_of_itself_is_found_and_no_content(answer: bytes, told: tuple[Any, ...]) -> None:
    found = attributes(row(), seen(answer), None)
    assert told == (
        found.get(names.GEN_AI_RESPONSE_ID),
        found.get(names.GEN_AI_RESPONSE_MODEL),
        found.get(names.GEN_AI_RESPONSE_FINISH_REASONS),
    )


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, None),
        ({"status": 429}, "429"),
        ({"status": 502, "ended": "upstream_error"}, "502"),
        ({"ended": "cut"}, "cut"),
        ({"ended": "client_gone", "status": 499}, None),
    ],
)
def test_a_client_that_leaves_is_no_failure(changes: dict[str, Any], wrong: str | None) -> None:
    assert failure(row(**changes)) == wrong
    assert attributes(row(**changes), None, None).get("error.type") == wrong


def test_a_model_without_a_price_costs_nothing_known() -> None:
    assert "shmastra.cost_usd" not in attributes(row(cost=None), None, None)


def test_an_odd_model_costs_no_batch() -> None:
    found = attributes(row(model="\ud800" * 500), None, None)
    assert found["gen_ai.request.model"] == "?" * 200
    assert span_name(row(model=None), b"/v1/models") == "models"
    assert span_name(row(), b"/v1/responses") == "chat gpt-5-mini"
