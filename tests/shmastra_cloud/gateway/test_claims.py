import json
import uuid
from collections.abc import Iterable
from typing import Any

import pytest

from shmastra_cloud.gateway.claims import MAX_HELD_BYTES, Claim, ids_in

ANN = uuid.uuid4()


class Recorder:
    """Takes claims, and what had been sent by then."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.sent: list[Any] = []
        self.sent_before: list[int] = []

    async def claim(self, provider: str, ids: Iterable[str], user_id: uuid.UUID) -> None:
        assert (provider, user_id) == ("openai", ANN)
        self.ids += ids
        self.sent_before.append(sum(len(message.get("body", b"")) for message in self.sent))

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


async def passing(kind: str, pieces: list[bytes], status: int = 200, *, breaks: bool = False) -> Recorder:
    recorder = Recorder()
    claim = Claim(recorder, "openai", ANN, recorder.send)  # type: ignore[arg-type]
    headers = [(b"content-type", kind.encode())]
    await claim.send({"type": "http.response.start", "status": status, "headers": headers})
    for at, piece in enumerate(pieces, 1):
        more = breaks or at < len(pieces)
        await claim.send({"type": "http.response.body", "body": piece, "more_body": more})
    await claim.let_go()
    assert recorder.body == b"".join(pieces)
    assert [message["type"] for message in recorder.sent].count("http.response.start") == 1
    return recorder


MADE = json.dumps({"id": "resp_1", "object": "response", "metadata": {"object": "x", "id": "evil"}}).encode()


async def test_an_answer_in_json_is_held_until_its_id_is_recorded() -> None:
    for pieces in ([MADE], [MADE[:9], MADE[9:20], MADE[20:]]):
        recorder = await passing("application/json; charset=utf-8", pieces)
        assert (recorder.ids, recorder.sent_before) == (["resp_1"], [0])
        assert recorder.sent[-1].get("more_body") is False


@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_a_stream_is_held_at_the_event_that_tells_the_id(end: str) -> None:
    created = {"type": "response.created", "response": json.loads(MADE)}
    item = {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1"}
    delta = {
        "type": "response.output_text.delta",
        "delta": '{"object":"x","id":"evil","container_id":"evil"}',
    }
    events = [created, delta, {"type": "response.output_item.added", "item": item}, delta]
    raw = "".join(f"event: {e['type']}{end}data: {json.dumps(e)}{end}{end}" for e in events).encode()
    for size in (7, 100, len(raw)):
        pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
        recorder = await passing("text/event-stream", pieces)
        assert recorder.ids == ["resp_1", "cntr_1"]
        assert recorder.sent_before[0] <= raw.index(b"delta")
        assert len(recorder.sent) >= len(pieces)  # nothing else is held


async def test_what_is_no_success_or_of_another_kind_passes_as_it_is() -> None:
    assert (await passing("application/json", [MADE], status=400)).ids == []
    assert (await passing("audio/mpeg", [MADE])).ids == []
    assert (await passing("application/json", [b"no json", b"{"])).ids == []
    assert (await passing("application/json", [b"[" * 100_000])).ids == []
    assert (await passing("text/event-stream", [b"data: response.created\n\n", b"data"])).ids == []


async def test_an_answer_that_broke_off_is_passed_on_without_an_end() -> None:
    recorder = await passing("application/json", [MADE[:30]], breaks=True)
    assert recorder.ids == []
    assert recorder.sent[-1]["more_body"] is True


async def test_an_answer_without_end_is_not_held_for_ever() -> None:
    piece = b"x" * (MAX_HELD_BYTES // 2 + 1)
    recorder = await passing("application/json", [piece, piece, piece], breaks=True)
    assert len(recorder.sent) == 3


@pytest.mark.parametrize(
    ("answer", "ids"),
    [
        ({"id": "file-1", "object": "file", "filename": "x"}, ["file-1"]),
        ({"id": "file_1", "type": "file"}, ["file_1"]),
        ({"id": "vs_1", "object": "vector_store", "name": "files/evil"}, ["vs_1"]),
        ({"name": "cachedContents/x", "displayName": "files/evil"}, ["cachedContents/x"]),
        ({"file": {"name": "files/x"}}, ["files/x"]),
        ({"id": "msg_1", "type": "message", "container": {"id": "container_1"}}, ["container_1"]),
        ({"type": "message_delta", "delta": {"container": {"id": "c"}}}, ["c"]),
        ({"id": "resp", "object": "response", "output": [{"id": "m", "container_id": "c"}]}, ["resp", "c"]),
        ({"id": 5, "object": "response"}, []),
        ({"name": "no path"}, []),
        ([{"id": "x", "object": "x"}], []),
        ({"data": [{"id": "x", "object": "x"}], "tools": [{"id": "x", "object": "x"}]}, []),
    ],
)
def test_an_answer_gives_only_what_it_made(answer: Any, ids: list[str]) -> None:
    assert list(ids_in(answer)) == ids
