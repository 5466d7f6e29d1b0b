"""A stand-in for OpenAI's realtime API over a real socket; its events are held against the official SDK."""

from __future__ import annotations

import asyncio
import base64
import http
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.llm_provider import REAL_KEY, TEXT, WORDS
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

AUDIO = base64.b64encode(b"\x01\x02" * 4800).decode()  # 200 ms of 24 kHz
USAGE = {
    "input_tokens": 120,
    "output_tokens": 40,
    "total_tokens": 160,
    "input_token_details": {
        "text_tokens": 20,
        "audio_tokens": 100,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 14, "audio_tokens": 50},
    },
    "output_token_details": {"text_tokens": 10, "audio_tokens": 30},
}


@dataclass
class Realtime:
    """Speaks as OpenAI does: text, audio where asked for, transcriptions; remembers what it was told."""

    asked: list[Any] = field(default_factory=list)
    said: list[Any] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    code: int | None = None
    reason: str | None = None
    refusal: tuple[int, str] | None = None
    rest: float = 0
    number: int = 0

    def check(self, connection: ServerConnection, request: Any) -> Any:
        """Answer the handshake with an error where it is due."""
        self.asked.append(request)
        status, text = 0, ""
        if request.headers.get("Authorization") != f"Bearer {REAL_KEY}":
            key = request.headers.get("Authorization", "")
            error = {"message": f"Incorrect API key provided: {key}", "type": "invalid_request_error"}
            status, text = 401, json.dumps({"error": {**error, "param": None, "code": "invalid_api_key"}})
        elif self.refusal is not None:
            status, text = self.refusal
        if not status:
            return None
        answer = connection.respond(http.HTTPStatus(status), text)
        answer.headers["Retry-After"] = "3"
        answer.headers["Location"] = "http://169.254.169.254/"
        answer.headers["Set-Cookie"] = "evil=1"
        return answer

    async def __call__(self, socket: ServerConnection) -> None:
        """Serve one connection."""
        session = {"type": "realtime", "model": "gpt-realtime", "output_modalities": ["text"]}
        try:
            await self.event(socket, "session.created", session=session)
            async for message in socket:
                self.said.append(message)
                await self.react(socket, message, session)
        except ConnectionClosed:
            pass
        finally:
            self.code, self.reason = socket.close_code, socket.close_reason
            self.closed.set()

    async def react(self, socket: ServerConnection, message: str | bytes, session: dict[str, Any]) -> None:
        """Answer one event."""
        event = json.loads(message)
        if event["type"] == "session.update":
            session |= event["session"]
            await self.event(socket, "session.updated", session=session)
        elif event["type"] == "conversation.item.create":
            item = {"id": "item_1", "status": "completed", **event["item"]}
            await self.event(socket, "conversation.item.added", previous_item_id=None, item=item)
        elif event["type"] == "input_audio_buffer.commit":
            await self.transcribe(socket)
        elif event["type"] == "response.create":
            await self.respond(socket, session)
        elif event["type"] != "input_audio_buffer.append":
            error = {"type": "invalid_request_error", "message": "Unknown event.", "code": "invalid_value"}
            await self.event(socket, "error", error={**error, "param": "type", "event_id": None})

    async def event(self, socket: ServerConnection, kind: str, **fields: Any) -> None:
        """Send an event."""
        self.number += 1
        await socket.send(json.dumps({"type": kind, "event_id": f"event_{self.number}", **fields}))

    async def transcribe(self, socket: ServerConnection) -> None:
        """Say what was heard."""
        await self.event(socket, "input_audio_buffer.committed", previous_item_id=None, item_id="item_2")
        details = {"text_tokens": 0, "audio_tokens": 11}
        usage = {"type": "tokens", "input_tokens": 11, "output_tokens": 3, "total_tokens": 14}
        await self.event(
            socket,
            "conversation.item.input_audio_transcription.completed",
            item_id="item_2",
            content_index=0,
            transcript=TEXT,
            usage={**usage, "input_token_details": details},
        )

    async def respond(self, socket: ServerConnection, session: dict[str, Any]) -> None:
        """Produce a response."""
        await self.begin(socket)
        for word in WORDS:
            await self.delta(socket, session, word)
            await asyncio.sleep(self.rest)
        await self.event(socket, "response.done", response=self.response("completed", USAGE))

    async def begin(self, socket: ServerConnection) -> None:
        """Say that a response is being produced."""
        await self.event(socket, "response.created", response=self.response("in_progress", None))

    async def delta(self, socket: ServerConnection, session: dict[str, Any], word: str) -> None:
        """Send a piece of a response."""
        place = {"response_id": "resp_1", "item_id": "item_3", "output_index": 0, "content_index": 0}
        if session["output_modalities"] == ["audio"]:
            await self.event(socket, "response.output_audio.delta", **place, delta=AUDIO)
            await self.event(socket, "response.output_audio_transcript.delta", **place, delta=word)
        else:
            await self.event(socket, "response.output_text.delta", **place, delta=word)

    def response(self, status: str, usage: Any) -> dict[str, Any]:
        """Return a response's own part of an event."""
        content = [{"type": "output_text", "text": TEXT}]
        item = {"id": "item_3", "type": "message", "role": "assistant", "status": status, "content": content}
        return {
            "id": "resp_1",
            "object": "realtime.response",
            "status": status,
            "output": [item] if usage else [],
            "usage": usage,
            "metadata": {"type": "response.created"},
        }


class Stops(Realtime):
    """Breaks off in the middle of a response: as `how` says, or never goes on."""

    how: str = "never"

    async def respond(self, socket: ServerConnection, session: dict[str, Any]) -> None:
        await self.begin(socket)
        for word in WORDS[:3]:
            await self.delta(socket, session, word)
        if self.how == "abort":
            await asyncio.sleep(0.05)
            socket.transport.abort()
        elif self.how == "close":
            await socket.close(4000, f"session of {REAL_KEY} expired")


class Endless(Realtime):
    """Speaks without end, as fast as it is heard."""

    sent: int = 0

    async def respond(self, socket: ServerConnection, session: dict[str, Any]) -> None:
        await self.begin(socket)
        while True:
            await self.delta(socket, session, "x" * 20_000)
            self.sent += 20_000


class Echo(Realtime):
    """Sends back what it is sent, as it is."""

    async def react(self, socket: ServerConnection, message: str | bytes, session: dict[str, Any]) -> None:
        await socket.send(message)


@asynccontextmanager
async def realtime(double: Realtime) -> AsyncIterator[str]:
    """Serve a stand-in; give its base URL."""
    server: Server
    async with serve(
        double,
        "127.0.0.1",
        0,
        process_request=double.check,
        select_subprotocol=lambda _, offered: "realtime" if "realtime" in offered else None,  # type: ignore[return-value,arg-type]
        max_size=None,
        close_timeout=1,
    ) as server:
        yield f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1"


@contextmanager
def realtime_in_a_thread(double: Realtime) -> Iterator[str]:
    """Serve a stand-in on a loop of its own, for fixtures that outlive one test."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    serving = realtime(double)
    try:
        yield asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(10)
        asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
