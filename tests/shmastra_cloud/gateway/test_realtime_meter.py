import json
from typing import Any

import pytest
from tests.doubles.realtime import AUDIO, USAGE

from shmastra_cloud.gateway.realtime_meter import RealtimeMeter, Used
from shmastra_cloud.gateway.tokens import MAX_TOKENS, Tokens

TRANSCRIBED = "conversation.item.input_audio_transcription.completed"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> RealtimeMeter:
    return RealtimeMeter(clock)


def see(meter: RealtimeMeter, kind: str, **fields: Any) -> Used | None:
    return meter.seen(json.dumps({"type": kind, "event_id": "e", **fields}))


def delta(meter: RealtimeMeter, text: str = " word", kind: str = "output_text", name: str = "r1") -> None:
    see(meter, f"response.{kind}.delta", response_id=name, item_id="i" * 21, delta=text)


def test_a_response_is_what_it_says_it_used(meter: RealtimeMeter, clock: Clock) -> None:
    see(meter, "response.created", response={"id": "r1"})
    clock.now = 0.5
    delta(meter)
    clock.now = 2
    assert meter.output_tokens > 0
    used = see(meter, "response.done", response={"id": "r1", "usage": USAGE})
    more = {"input_audio_tokens": 100, "cache_audio_read_tokens": 50, "output_audio_tokens": 30}
    assert used == Used(Tokens(120, 64, 0, 40, more=more), None, 500, 2000)
    assert meter.output_tokens == 0
    assert meter.left() == []


def test_the_order_of_fields_and_what_users_put_beside_them_hide_nothing(meter: RealtimeMeter) -> None:
    event = {
        "response": {
            "metadata": {"type": "response.output_text.delta", "response_id": "x"},
            "usage": USAGE,
            "output": [{"text": '"type": "response.created"'}],
        },
        "type": "response.done",
    }
    for text in (json.dumps(event), json.dumps(event, indent=1), json.dumps(event, separators=(",", ":"))):
        used = meter.seen(text.encode())
        assert used is not None
        assert used.tokens.output == 40
    see(meter, "response.output_text.delta", response_id="r1", delta="response.done")
    assert meter.output_tokens >= 1


def test_what_was_not_told_is_estimated(meter: RealtimeMeter) -> None:
    see(meter, "response.done", response={"id": "r0", "usage": USAGE})
    meter.sent(json.dumps({"type": "conversation.item.create", "text": "x" * 4000}))
    meter.sent(json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 64_000}).encode())
    see(meter, "response.created", response={"id": "r1"})
    see(meter, "response.created", response={"id": "r2"})
    for _ in range(5):
        delta(meter, AUDIO, "output_audio")
    delta(meter, "x" * 400)
    first, second = meter.left()
    assert first.tokens.estimated
    assert first.tokens.more["input_audio_tokens"] == pytest.approx(10, abs=1)  # a second of what is heard
    assert first.tokens.input == pytest.approx(160 + 1000 + 10, abs=30)
    assert first.tokens.more["output_audio_tokens"] == pytest.approx(20, abs=2)  # a second of what is spoken
    assert first.tokens.output == pytest.approx(20 + 100, abs=10)
    assert (second.tokens.output, second.tokens.input) == (0, first.tokens.input)
    assert meter.left() == []


def test_a_response_that_says_nothing_of_its_usage_is_estimated(meter: RealtimeMeter) -> None:
    delta(meter, "x" * 400)
    used = see(meter, "response.done", response={"id": "r1", "status": "failed", "usage": None})
    assert used is not None
    assert used.tokens.estimated
    assert used.tokens.output == pytest.approx(100, abs=10)


def test_audio_in_another_form_has_another_length(meter: RealtimeMeter) -> None:
    see(meter, "session.created", session={"audio": {"output": {"format": {"type": "audio/pcmu"}}}})
    delta(meter, "A" * 10_667, "output_audio")  # a second of 8 kHz with a byte each
    assert meter.output_tokens == pytest.approx(20, abs=1)
    see(meter, "session.updated", session={"output_audio_format": "pcm16"})
    delta(meter, "A" * 64_000, "audio", "r2")
    assert meter.output_tokens == pytest.approx(40, abs=2)


def test_a_transcription_is_of_the_model_that_the_session_names(meter: RealtimeMeter) -> None:
    usage: dict[str, Any] = {"type": "tokens", "input_tokens": 11, "output_tokens": 3}
    usage["input_token_details"] = {"audio_tokens": 10}
    see(meter, "session.updated", session={"audio": {"input": {"transcription": {"model": "whisper-1"}}}})
    assert see(meter, TRANSCRIBED, usage=usage) == Used(
        Tokens(11, output=3, more={"input_audio_tokens": 10}), "whisper-1"
    )
    see(meter, "session.updated", session={"input_audio_transcription": {"model": "b"}})
    told = see(meter, TRANSCRIBED, usage={"type": "duration", "seconds": 2.5})
    assert told == Used(Tokens(more={"audio_seconds": 2.5}), "b")
    assert see(meter, TRANSCRIBED, usage=None) is None


def test_nonsense_is_nothing_and_numbers_are_bounded(meter: RealtimeMeter) -> None:
    for text in ("", "x", '"response.done"', '{"type": "response.done"', '["response.done"]', "[" * 100_000):
        assert meter.seen(text) is None
    assert meter.seen(b'\xff"response.done"') is None
    wild = {"input_tokens": -5, "output_tokens": 10**20, "input_token_details": [], "output_token_details": 7}
    used = see(meter, "response.done", response={"usage": wild})
    assert used is not None
    assert (used.tokens.input, used.tokens.output) == (0, MAX_TOKENS)
    assert see(meter, "response.done", response=[]) is not None
    assert see(meter, TRANSCRIBED, usage={"seconds": "x"}) == Used(Tokens(), "transcription")


def test_responses_without_end_are_held_together(meter: RealtimeMeter) -> None:
    for number in range(1000):
        delta(meter, name=f"r{number}")
    assert meter.output_tokens >= 1000
    assert len(meter.left()) == 65


def test_what_is_sent_is_no_usage_by_itself(meter: RealtimeMeter) -> None:
    meter.sent("x" * 1000)
    assert meter.output_tokens == 0
    assert meter.left() == []
