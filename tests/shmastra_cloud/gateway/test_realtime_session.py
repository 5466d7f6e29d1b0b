"""Open realtime connections, with the official SDK where it can do what is tested."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from openai.types.realtime import RealtimeErrorEvent
from openai.types.realtime.realtime_server_event import RealtimeServerEvent
from pydantic import TypeAdapter
from tests.doubles.llm_provider import REAL_KEY, TEXT
from tests.doubles.realtime import Echo, Endless, Realtime, Stops
from tests.shmastra_cloud.gateway.realtimes import KEY, USER, Make, World, worlds
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from shmastra_cloud.gateway import KeyOwner, ModelRule, UsageRow
from shmastra_cloud.gateway.errors import GatewayError, RouteRefused, TooManySockets

EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
# Heard: 6 text, 50 audio, 14 cached text, 50 cached audio; said: 10 text, 30 audio; by OpenAI's price list.
COST = Decimal("0.0037296")
CREATE = json.dumps({"type": "response.create"})


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    async with worlds() as build:
        yield build


async def until(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """Read on to an event of a kind; everything must be an event of the SDK's."""
    while True:
        message = await asyncio.wait_for(socket.recv(), 5)
        EVENT.validate_json(message)
        event: dict[str, Any] = json.loads(message)
        if event["type"] == kind:
            return event


async def end_of(socket: ClientConnection) -> tuple[int, str]:
    """Read to the end; return how the other side closed."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await asyncio.wait_for(socket.recv(), 5)
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""


async def gone(world: World) -> Any:
    await asyncio.wait_for(world.provider.closed.wait(), 5)
    return world.provider.code


async def test_the_sdk_talks_and_each_response_is_metered_while_it_is_open(make: Make) -> None:
    world = await make()
    async with world.sdk() as client, client.realtime.connect(model="gpt-realtime") as there:
        await there.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        content: Any = [{"type": "input_text", "text": "hi"}]
        await there.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        for turn in (1, 2):
            await there.response.create()
            words, kinds = [], []
            async for event in there:
                EVENT.validate_python(event.to_dict())
                kinds.append(event.type)
                if event.type == "response.output_text.delta":
                    words.append(event.delta)
                if event.type == "response.done":
                    break
            assert "".join(words) == TEXT
            assert ("session.created" in kinds) == (turn == 1)
            row = await world.row(turn)
            assert (row.user_id, row.provider, row.model) == (USER, "openai", "gpt-realtime")
            assert (row.input_tokens, row.cached_tokens, row.output_tokens) == (120, 64, 40)
            assert row.cost == COST
            assert (row.status, row.estimated, row.ended) == (101, False, "complete")
            assert row.ttfb_ms is not None
    assert await gone(world) == 1000
    assert len(world.rows) == 2
    request = world.provider.asked[0]
    assert request.path == "/v1/realtime?model=gpt-realtime"
    assert request.headers["authorization"] == f"Bearer {REAL_KEY}"
    assert KEY not in str(request)


async def test_transcriptions_are_metered_as_their_own_model_which_is_asked_for(make: Make) -> None:
    gate = Gates()
    world = await make(gate=gate)
    socket = await world.dial()
    audio = {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}
    update = {"type": "session.update", "session": {"type": "realtime", "audio": audio}}
    await socket.send(json.dumps(update))
    await until(socket, "session.updated")
    await socket.send(json.dumps({"type": "input_audio_buffer.commit"}))
    await until(socket, "conversation.item.input_audio_transcription.completed")
    row = await world.row()
    assert (row.model, row.input_tokens, row.output_tokens) == ("gpt-4o-transcribe", 11, 3)
    assert row.cost
    update["session"]["audio"]["input"]["transcription"]["model"] = "forbidden"  # type: ignore[index]
    await socket.send(json.dumps(update))
    error = await until(socket, "error")
    assert error["error"]["code"] == "route_not_allowed"
    assert "forbidden" not in str(world.provider.said)
    await socket.close()
    await gone(world)
    assert gate.asked == ["gpt-realtime", "gpt-4o-transcribe", "forbidden"]
    async with asyncio.timeout(5):
        while gate.over != 2:
            await asyncio.sleep(0.01)


class Gates:
    """Lets nobody use `forbidden`, and stops a connection at what it is told."""

    leases = (UUID(int=5),)

    def __init__(self, *, settled: int = 1000, running: int = 10**9) -> None:
        self.asked: list[str] = []
        self.rows: list[UsageRow] = []
        self.over = 0
        self._settled, self._running = settled, running

    async def admit(self, owner: KeyOwner, provider: str, model: str) -> "Gates":
        assert (owner.user_id, provider) == (USER, "openai")
        self.asked.append(model)
        if model == "forbidden":
            raise RouteRefused("This model is not for you.")
        return self

    def spent(self, output_tokens: int) -> GatewayError | None:
        return TooManySockets("The budget is spent.") if output_tokens > self._running else None

    async def settle(self, row: UsageRow) -> GatewayError | None:
        self.rows.append(row)
        return TooManySockets("The budget is spent.") if len(self.rows) >= self._settled else None

    def ended(self) -> None:
        self.over += 1


async def test_a_connection_is_told_and_closed_when_no_more_may_be_used(make: Make) -> None:
    world = await make(gate=Gates(settled=2))
    socket = await world.dial()
    await socket.send(CREATE)
    await until(socket, "response.done")
    await socket.send(CREATE)
    await until(socket, "response.done")
    error = await until(socket, "error")
    RealtimeErrorEvent.model_validate(error)
    assert (error["error"]["message"], error["error"]["type"]) == ("The budget is spent.", "rate_limit_error")
    assert await end_of(socket) == (1008, "too_many_connections")
    assert await gone(world) == 1000
    assert len(world.rows) == 2


async def test_a_response_is_cut_in_the_middle_when_no_more_may_be_used(make: Make) -> None:
    gate = Gates(running=20_000)
    world = await make(Endless(), gate=gate)
    socket = await world.dial()
    await socket.send(CREATE)
    assert (await until(socket, "error"))["error"]["message"] == "The budget is spent."
    assert (await end_of(socket))[0] == 1008
    row = await world.row()
    assert (row.estimated, row.ended) == (True, "cut")
    assert 20_000 < row.output_tokens < 30_000
    await gone(world)
    assert gate.rows == [row]
    async with asyncio.timeout(5):
        while gate.over != 1:
            await asyncio.sleep(0.01)


async def test_what_is_neither_json_nor_text_passes_untouched(make: Make) -> None:
    world = await make(Echo())
    socket = await world.dial()
    await until(socket, "session.created")
    big = os.urandom(6 * 1024 * 1024)
    for message in ("", "not json", "\u0000grüß", b"", b"\xff\x00", big, '{"model": 1}', "y" * 3_000_000):
        await socket.send(message)
        assert await socket.recv() == message
    await socket.send(["frag", "ment", "", "ed"])
    assert await socket.recv() == "fragmented"
    await socket.close()


async def test_a_message_beyond_the_bound_ends_both_sides(make: Make) -> None:
    world = await make(Echo())
    socket = await world.dial()
    with contextlib.suppress(ConnectionClosed):
        await socket.send(b"x" * (16 * 1024 * 1024 + 1))
    assert (await end_of(socket))[0] == 1009
    assert await gone(world) == 1009
    assert world.provider.said == []


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "session.update", "session": {"model": "gpt-other"}}, "invalid_request"),
        ({"type": "response.create", "response": {"prompt": {"id": "pmpt_1"}}}, "route_not_allowed"),
        ({"type": "session.update", "session": {"tools": [{"tunnel_id": "t"}]}}, "route_not_allowed"),
    ],
)
async def test_what_a_client_may_not_say_is_answered_and_not_passed_on(
    make: Make, event: Any, code: str
) -> None:
    world = await make()
    socket = await world.dial()
    for text in (json.dumps(event), json.dumps(event).encode()):
        await socket.send(text)
        assert (await until(socket, "error"))["error"]["code"] == code
    await socket.send(CREATE)
    await until(socket, "response.done")
    assert world.provider.said == [CREATE]
    await socket.close()


@pytest.mark.parametrize("how", ["vanishes", "closes"])
async def test_a_client_that_goes_ends_the_provider_and_what_was_produced_is_estimated(
    make: Make, how: str
) -> None:
    world = await make(Stops())
    socket = await world.dial()
    await socket.send(CREATE)
    await until(socket, "response.output_text.delta")
    await until(socket, "response.output_text.delta")
    await until(socket, "response.output_text.delta")
    began = asyncio.get_running_loop().time()
    if how == "vanishes":
        socket.transport.abort()
    else:
        await socket.close(4001, "enough")
    assert await gone(world) == (1001 if how == "vanishes" else 4001)
    assert world.provider.reason == ("" if how == "vanishes" else "enough")
    assert asyncio.get_running_loop().time() - began < 2
    row = await world.row()
    assert (row.ended, row.estimated, row.model) == ("client_gone", True, "gpt-realtime")
    assert row.output_tokens >= 3
    assert len(world.rows) == 1


@pytest.mark.parametrize(
    ("how", "code"), [("close", (4000, "session of [redacted] expired")), ("abort", (1011, "upstream_error"))]
)
async def test_a_provider_that_goes_ends_the_client_as_it_did_itself(make: Make, how: str, code: Any) -> None:
    double = Stops()
    double.how = how
    world = await make(double)
    socket = await world.dial()
    await socket.send(CREATE)
    for _ in range(3):
        await until(socket, "response.output_text.delta")
    if how == "abort":
        assert (await until(socket, "error"))["error"]["code"] == "upstream_error"
    assert await end_of(socket) == code
    row = await world.row()
    assert (row.ended, row.estimated) == ("upstream_error", True)


async def test_a_client_that_does_not_read_holds_the_provider_back(make: Make) -> None:
    world = await make(Endless())
    socket = await world.dial(max_queue=1)
    await socket.send(CREATE)
    before = -1
    async with asyncio.timeout(20):
        while before != world.provider.sent or not before:
            before = world.provider.sent
            await asyncio.sleep(0.3)
    assert before < 60 * 1024 * 1024  # what the kernel's four buffers take, and a little
    for _ in range(50):
        await until(socket, "response.output_text.delta")
    await asyncio.sleep(0.1)
    socket.transport.abort()
    await gone(world)


async def test_a_real_key_that_is_echoed_is_taken_out(make: Make) -> None:
    world = await make(Echo())
    socket = await world.dial()
    await until(socket, "session.created")
    await socket.send(f"a {REAL_KEY} b")
    assert await socket.recv() == "a [redacted] b"
    await socket.send(f"a {REAL_KEY} b".encode())
    assert await socket.recv() == b"a [redacted] b"
    await socket.send('{"error": "sk-proj-abc****wxyz"}')
    assert await socket.recv() == '{"error": "[redacted]"}'
    await socket.close()


async def test_a_key_that_is_revoked_ends_its_connections(make: Make) -> None:
    world = await make()
    socket = await world.dial()
    await until(socket, "session.created")
    world.keys.known = False
    world.cache.drop(USER)
    assert (await until(socket, "error"))["error"]["code"] == "invalid_api_key"
    assert await end_of(socket) == (1008, "invalid_api_key")
    assert await gone(world) == 1000


async def test_silence_ends_a_connection_which_is_recorded_too(make: Make) -> None:
    world = await make(idle="0.2")
    socket = await world.dial()
    await until(socket, "session.created")
    assert (await until(socket, "error"))["error"]["code"] == "idle_timeout"
    assert await end_of(socket) == (1011, "idle_timeout")
    row = await world.row()
    assert (row.status, row.ended, row.input_tokens, row.output_tokens) == (101, "cut", 0, 0)


async def test_a_connection_that_used_nothing_is_recorded_once(make: Make) -> None:
    world = await make()
    socket = await world.dial()
    await socket.close()
    row = await world.row()
    assert (row.status, row.ended, row.output_tokens, row.cost) == (101, "complete", 0, 0)
    assert world.active == [USER]
    await gone(world)
    assert len(world.rows) == 1


async def test_a_server_that_stops_ends_both_sides(make: Make) -> None:
    async with worlds() as build:
        world = await build()
        socket = await world.dial()
        await until(socket, "session.created")
    assert await gone(world) == 1012
    with contextlib.suppress(ConnectionClosed):
        await socket.recv()
    assert socket.close_code == 1012


async def test_the_stand_in_says_what_the_sdk_knows() -> None:
    double = Realtime()
    sent: list[str] = []

    class Socket:
        async def send(self, message: str) -> None:
            sent.append(message)

    session = {"type": "realtime", "output_modalities": ["audio"]}
    there: Any = Socket()
    for kind in ("session.update", "response.create", "input_audio_buffer.commit", "nonsense"):
        await double.react(there, json.dumps({"type": kind, "session": session}), session)
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    await double.react(there, json.dumps({"type": "conversation.item.create", "item": item}), session)
    kinds = {type(EVENT.validate_json(message)).__name__ for message in sent}
    assert {
        "ResponseDoneEvent",
        "ResponseAudioDeltaEvent",
        "RealtimeErrorEvent",
        "SessionUpdatedEvent",
    } <= kinds


async def test_a_rule_holds_for_a_connection_and_for_its_transcriptions(make: Make) -> None:
    world = await make()
    world.keys.rule = ModelRule(("openai/gpt-realtime", "openai/gpt-4o-transcribe"))
    socket = await world.dial()
    update: Any = {"type": "session.update", "session": {"audio": {"input": {"transcription": {}}}}}
    for model, answer in (("whisper-1", "error"), ("gpt-4o-transcribe", "session.updated")):
        update["session"]["audio"]["input"]["transcription"] = {"model": model}
        await socket.send(json.dumps(update))
        said = await until(socket, answer)
        assert answer != "error" or said["error"]["code"] == "model_not_allowed"
    assert "whisper-1" not in str(world.provider.said)
    await socket.close()
    with pytest.raises(InvalidStatus) as refused:
        await world.dial("?model=gpt-realtime-2")
    assert refused.value.response.status_code == 403
    assert "openai/gpt-realtime-2 is not allowed" in refused.value.response.body.decode()
