import json
from typing import Any

import pytest

from httprelay import ConnectFailed, Stopping, UpstreamClosed, UpstreamTimeout
from shmastra_cloud.workspaces.call import KEPT_BYTES, Call, NotRunning


class Wire:
    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.sent: list[Any] = []
        self.call = Call(self.receive, self.send)

    async def receive(self) -> Any:
        piece = self.pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self.pieces)}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def answer(self, status: int, *pieces: bytes) -> None:
        await self.call.send({"type": "http.response.start", "status": status, "headers": []})
        for piece in pieces:
            await self.call.send({"type": "http.response.body", "body": piece, "more_body": True})
        await self.call.send({"type": "http.response.body", "body": b""})


async def test_what_was_read_is_given_again_before_what_follows() -> None:
    wire = Wire(b"a", b"b", b"c")
    assert [(await wire.call.receive())["body"] for _ in range(2)] == [b"a", b"b"]
    assert wire.call.rewind()
    assert [(await wire.call.receive())["body"] for _ in range(3)] == [b"a", b"b", b"c"]
    assert wire.call.rewind()
    assert [(await wire.call.receive())["body"] for _ in range(3)] == [b"a", b"b", b"c"]


async def test_too_much_or_an_answer_under_way_is_not_kept() -> None:
    long = Wire(b"x" * (KEPT_BYTES + 1))
    await long.call.receive()
    assert not long.call.rewind()
    begun = Wire(b"x")
    await begun.answer(200, b"y")
    assert not begun.call.rewind()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"sandboxId":"x","message":"The sandbox was not found","code":502}', NotRunning),
        (b"<html><h1>Sandbox Not Found</h1></html>", NotRunning),
        (b'{"message":"The sandbox is running but port is not open"}', ConnectFailed),
    ],
)
async def test_the_services_own_502_is_understood(body: bytes, error: type[Exception]) -> None:
    wire = Wire()
    with pytest.raises(error):
        await wire.answer(502, body[:9], body[9:])
    assert wire.sent == []


async def test_a_502_of_the_sandboxs_own_passes_whole() -> None:
    for body in (b"my provider is down", b"not found in the sandbox" + b"x" * 70_000):
        wire = Wire()
        await wire.answer(502, body)
        assert b"".join(message.get("body", b"") for message in wire.sent) == body
        assert wire.sent[0]["status"] == 502


def test_the_last_event_names_the_run_as_studio_wants_it() -> None:
    call = Wire().call
    assert call.last_event(UpstreamClosed()) is None
    call.chunk(b'data: {"type":"start","runId":"run-1","from":"AGENT"}\n\n')
    call.chunk(b'data: {"type":"tool-call","runId":"nested"}\n\n')
    first, last, _ = (call.last_event(UpstreamTimeout()) or b"").split(b"\n\n")
    event = json.loads(first.removeprefix(b"data: "))
    assert (event["type"], event["runId"]) == ("error", "run-1")
    assert "nothing" in event["payload"]["error"]
    assert last == b"data: [DONE]"
    restarted = call.last_event(Stopping()) or b""
    assert b"The cloud was restarted" in restarted
