import json
from typing import Any

import pytest
from openai.types.realtime import RealtimeErrorEvent

from shmastra_cloud.gateway.errors import GatewayError, InvalidKey, RefusedRequest, RouteRefused
from shmastra_cloud.gateway.realtime_events import error_event, model_of, offered, other_models


def update(**session: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": session}


SCHEMA = {"properties": {"model": {"default": {"model": "x"}}}}


def test_the_model_stands_in_the_address_and_nothing_else() -> None:
    assert model_of(b"model=gpt-realtime&key=vk_1") == "gpt-realtime"
    assert model_of(b"mod%65l=gpt%2Drealtime") == "gpt-realtime"
    for query in (b"", b"model=", b"model=%20", b"model=a&model=a", b"model=" + b"x" * 300, b"model=%ff"):
        with pytest.raises(RefusedRequest):
            model_of(query)
    for query in (b"model=a&intent=transcription", b"call_id=x", b"model=a&Model=b"):
        with pytest.raises(RouteRefused):
            model_of(query)


def test_of_the_subprotocols_those_without_a_meaning_for_an_account_are_offered() -> None:
    asked = ["realtime", "openai-beta.realtime-v1", "openai-project.p", "x y", "openai-beta."]
    assert offered(asked) == ["realtime", "openai-beta.realtime-v1"]
    with pytest.raises(InvalidKey):
        offered(["realtime", "openai-insecure-api-key.sk"])


@pytest.mark.parametrize(
    ("event", "models"),
    [
        ({"type": "input_audio_buffer.append", "audio": "AAAA"}, []),
        (update(model="gpt-realtime"), []),
        (update(audio={"input": {"transcription": {"model": "whisper-1"}}}), ["whisper-1"]),
        (update(input_audio_transcription={"model": "whisper-1"}), ["whisper-1"]),
        (update(audio={"input": {"transcription": {"prompt": "names"}}}), []),
        (update(tools=[{"type": "function", "parameters": SCHEMA}]), []),
        ({"response": {"metadata": {"model": "x", "prompt": {}}}}, []),
        ({"type": "conversation.item.create", "item": {"content": [{"text": '{"model": "x"} \u00fc'}]}}, []),
    ],
)
def test_other_models_are_those_of_transcriptions(event: Any, models: list[str]) -> None:
    for text in (json.dumps(event), json.dumps(event, ensure_ascii=False)):
        assert other_models(text, "gpt-realtime") == models
        for encoding in ("utf-8", "utf-8-sig", "utf-16-le", "utf-16", "utf-32-be"):
            assert other_models(text.encode(encoding), "gpt-realtime") == models


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"session": {"model": "other"}}', RefusedRequest),
        ('{"session": {"mod\\u0065l": "other"}}', RefusedRequest),
        ('{"s\\u0065ssion": {"model": "other"}}', RefusedRequest),
        ('{"response": {"model": "other"}}', RefusedRequest),
        ('{"session": {"model": "other"}, "session": {}}', RefusedRequest),
        ('{"session": {"model": "gpt-realtime", "model": "other"}}', RefusedRequest),
        ('{"session": {"audio": {"model": "two words"}}}', RefusedRequest),
        ('{"model": ' + "[" * 100_000, RefusedRequest),
        ('{"model": "x"', RefusedRequest),
        ('{"response": {"prompt": {"id": "pmpt_1"}}}', RouteRefused),
        ('{"session": {"tools": [{"type": "mcp", "tunnel_id": "t"}]}}', RouteRefused),
        ('{"item": {"content": [{"type": "input_image", "file_id": "file-1"}]}}', RouteRefused),
        ('[{"session": {"model": "other"}}]', RefusedRequest),
    ],
)
def test_what_may_not_be_said_is_not_hidden_by_another_spelling(text: str, error: type[GatewayError]) -> None:
    for message in (text, text.encode(), text.encode("utf-16-le")):
        with pytest.raises(error):
            other_models(message, "gpt-realtime")


def test_what_is_no_text_is_no_event() -> None:
    assert other_models(b'\xff\xfe\xff"model"\\u', "m") == []


def test_an_error_is_an_event_that_the_sdk_reads() -> None:
    event = RealtimeErrorEvent.model_validate_json(error_event(RouteRefused("Not this.")))
    assert (event.error.message, event.error.code, event.error.type) == (
        "Not this.",
        "route_not_allowed",
        "permission_error",
    )
    assert event.event_id
