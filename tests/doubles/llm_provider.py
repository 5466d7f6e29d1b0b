"""A stand-in for LLM providers over a real socket; held against their official SDKs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

WORDS = ["Hello", " from", " the", " stand-in", "."]
TEXT = "".join(WORDS)
REAL_KEY = "sk-real-0123456789"


_MODELS = [{"id": name, "object": "model", "created": 1, "owned_by": "us"} for name in ("m", "n")]
_FIXED = {
    "/v1/messages/count_tokens": {"input_tokens": 9},
    "/v1/models": {"object": "list", "data": _MODELS, "has_more": False, "first_id": "m", "last_id": "n"},
    "/v1beta/models": {"models": [{"name": "models/gemini-x", "displayName": "Gemini X"}]},
}


@dataclass
class Provider:
    """Answers who has the real key, ``rest`` seconds after each piece of a stream; remembers requests."""

    rest: float = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        raw, more = b"", True
        while more:
            message = await receive()
            raw += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = json.loads(raw) if raw else {}
        self.asked.append(
            {"path": scope["path"], "query": scope["query_string"], "headers": headers, "body": body}
        )
        keys = {headers.get("authorization"), headers.get("x-api-key"), headers.get("x-goog-api-key")} - {
            None
        }
        if keys not in ({REAL_KEY}, {f"Bearer {REAL_KEY}"}):
            await _send(send, 401, [json.dumps({"error": {"message": f"Incorrect API key: {keys}"}})])
        else:
            await self.answer(scope["path"], body, receive, send)

    async def answer(self, path: str, body: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer in the format that the path asks for."""
        streamed = bool(body.get("stream"))
        if path == "/v1/chat/completions":
            await _send(send, 200, _chat(body), stream=streamed, rest=self.rest)
        elif path == "/v1/messages":
            await _send(send, 200, _messages(body), stream=streamed, rest=self.rest)
        elif path == "/v1/responses":
            await _send(send, 200, _responses(body), stream=streamed, rest=self.rest)
        elif ":streamGenerateContent" in path:
            pieces = [f"data: {json.dumps(_google(word, at))}\n\n" for at, word in enumerate(WORDS)]
            await _send(send, 200, pieces, stream=True, rest=self.rest)
        elif (whole := _whole(path, body)) is not None:
            await _send(send, 200, [json.dumps(whole)])
        else:
            await _send(send, 404, [json.dumps({"error": {"message": "no such route"}})])


class Silent(Provider):
    """Takes a request and never answers."""

    async def answer(self, path: str, body: dict[str, Any], receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        self.gone.set()


class Endless(Provider):
    """Streams without end; knows when it is left."""

    async def answer(self, path: str, body: dict[str, Any], receive: Any, send: Any) -> None:
        left = asyncio.ensure_future(_left(receive))
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        begin, piece = _endless(path, body)
        await send({"type": "http.response.body", "body": begin, "more_body": True})
        while not left.done():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0.01)
        self.gone.set()


class Leads(Provider):
    """Answers with a redirect."""

    async def answer(self, path: str, body: dict[str, Any], receive: Any, send: Any) -> None:
        headers = [(b"location", b"http://169.254.169.254/"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 302, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _endless(path: str, body: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return how a stream begins, and the piece of it that can be repeated for ever."""
    if path == "/v1/responses":
        pieces = _responses({**body, "stream": True})
        return "".join(pieces[:4]).encode(), pieces[4].encode()
    return b"", f"data: {json.dumps(_chunk({'content': 'more '}, None))}\n\n".encode()


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _send(send: Any, status: int, pieces: list[str], *, stream: bool = False, rest: float = 0) -> None:
    kind = b"text/event-stream" if stream else b"application/json"
    headers = [(b"content-type", kind), (b"set-cookie", b"evil=1")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
        if stream and rest:
            await asyncio.sleep(rest)
    await send({"type": "http.response.body", "body": b""})


def _chunk(delta: dict[str, str], reason: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def _chat(body: dict[str, Any]) -> list[str]:
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    if not body.get("stream"):
        message = {"role": "assistant", "content": TEXT}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return [json.dumps({**whole, "usage": usage})]
    chunks = [*(_chunk({"content": word}, None) for word in WORDS), _chunk({}, "stop")]
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**_chunk({}, None), "choices": [], "usage": usage})
    return [*(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks), "data: [DONE]\n\n"]


def _whole(path: str, body: dict[str, Any]) -> Any:
    """Return the answer of a route that never streams, or None."""
    name = path.rpartition("/")[2]
    if ":" in name:
        return _google_call(name.partition(":")[2])
    if path == "/v1/embeddings":
        vectors = [
            {"object": "embedding", "index": at, "embedding": [0.25, -0.5]} for at in range(_count(body))
        ]
        usage = {"prompt_tokens": 3, "total_tokens": 3}
        return {"object": "list", "data": vectors, "model": body["model"], "usage": usage}
    if path.startswith("/api/v3"):
        return _composio(path, body)
    return _FIXED.get(path)


def _count(body: dict[str, Any]) -> int:
    return len(body["input"]) if isinstance(body["input"], list) else 1


def _google_call(name: str) -> Any:
    if name == "generateContent":
        return _google(TEXT, 4)
    if name == "countTokens":
        return {"totalTokens": 6}
    if name in {"embedContent", "batchEmbedContents"}:
        return {"embedding": {"values": [0.25, -0.5]}, "embeddings": [{"values": [0.25, -0.5]}]}
    return None


def _composio(path: str, body: dict[str, Any]) -> Any:
    tool = {"slug": "GITHUB_GET_USER", "name": "Get a user", "toolkit": {"slug": "github", "name": "GitHub"}}
    if "/tools/execute/" in path:
        return {"data": {"said": body.get("arguments")}, "successful": True, "error": None, "log_id": "log_1"}
    page = {"next_cursor": None, "total_pages": 1, "current_page": 1, "total_items": 1}
    return {
        "tools": {"items": [tool], **page},
        "toolkits": {"items": [{"slug": "github", "name": "GitHub", "meta": {"tools_count": 1}}], **page},
    }.get(path.rpartition("/")[2])


def _responses(body: dict[str, Any]) -> list[str]:
    usage = {
        "input_tokens": 8,
        "input_tokens_details": {"cached_tokens": 2},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 13,
    }
    base = {"id": "resp_1", "object": "response", "created_at": 1, "model": body["model"], "tools": []}
    base |= {"parallel_tool_calls": True, "tool_choice": "auto", "error": None, "incomplete_details": None}
    part = {"type": "output_text", "text": TEXT, "annotations": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    whole = {**base, "status": "completed", "output": [item], "usage": usage}
    if not body.get("stream"):
        return [json.dumps(whole)]
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    begun = {**base, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **at, "delta": word, "logprobs": []} for word in WORDS),
        {"type": "response.output_text.done", **at, "text": TEXT, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    return [
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n"
        for number, event in enumerate(events)
    ]


def _messages(body: dict[str, Any]) -> list[str]:
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    usage = {"input_tokens": 9, "output_tokens": 5}
    if not body.get("stream"):
        content = [{"type": "text", "text": TEXT}]
        return [json.dumps({**message, "content": content, "stop_reason": "end_turn", "usage": usage})]
    begun = {**message, "content": [], "stop_reason": None, "usage": {"input_tokens": 9, "output_tokens": 1}}
    block = {"type": "text", "text": ""}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
            for word in WORDS
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]


def _google(text: str, at: int) -> dict[str, Any]:
    content = {"role": "model", "parts": [{"text": text}]}
    usage = {"promptTokenCount": 6, "candidatesTokenCount": at + 1, "totalTokenCount": 7 + at}
    candidate: dict[str, Any] = {"content": content, "index": 0}
    if at == len(WORDS) - 1:
        candidate["finishReason"] = "STOP"
    return {"candidates": [candidate], "usageMetadata": usage}
