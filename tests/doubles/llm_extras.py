"""The stand-in for LLM providers, with what few of its users need: tools, objects, images, sound, leaving."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.llm_provider import REAL_KEY, Endless, Provider, _send

CITY = {"city": "Oslo"}
SOUND = b"RIFF\x00\xff" + bytes(range(256)) * 40
PICTURE = "aGVsbG8="


@dataclass
class Versatile(Provider):
    """Calls the first tool that it is offered, fills the schema that it is given, and knows more routes."""

    uploads: list[tuple[str, bytes]] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        kind = headers.get(b"content-type", b"")
        if scope["type"] != "http" or not kind.startswith(b"multipart/"):
            return await super().__call__(scope, receive, send)
        assert headers[b"authorization"] == f"Bearer {REAL_KEY}".encode()
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.uploads.append((scope["path"], body))
        return await _send(send, 200, [json.dumps(self._of_upload(scope["path"]))])

    def _of_upload(self, path: str) -> Any:
        if path.startswith("/v1/images/"):
            usage = {"input_tokens": 11, "output_tokens": 22, "total_tokens": 33}
            return {"created": 1, "data": [{"b64_json": PICTURE}], "usage": usage}
        usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "total_tokens": 17}
        return {"text": "Hello", "usage": usage}

    async def answer(self, path: str, body: dict[str, Any], receive: Any, send: Any) -> None:
        asked = json.dumps(body)
        if "count for ever" in asked:
            endless = Endless(gone=self.left)
            await endless.answer(path, body, receive, send)
        elif path == "/v1/audio/speech":
            headers = [(b"content-type", b"audio/wav")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": SOUND})
        elif path == "/v1/images/generations":
            await _send(send, 200, [json.dumps(self._of_upload(path))])
        elif path == "/v1/moderations":
            result = {"flagged": False, "categories": {}, "category_scores": {}}
            await _send(send, 200, [json.dumps({"id": "modr-1", "model": "omni", "results": [result]})])
        elif path == "/v1/responses/input_tokens":
            await _send(send, 200, [json.dumps({"object": "response.input_tokens", "input_tokens": 12})])
        elif body.get("tools") and not _has_result(asked):
            await _send(send, 200, [json.dumps(_tool_call(path, body))])
        elif (body.get("response_format") or {}).get("type") == "json_schema":
            await _send(send, 200, [json.dumps(_completion({"content": json.dumps(CITY)}, "stop"))])
        else:
            await super().answer(path, body, receive, send)


def _has_result(asked: str) -> bool:
    return '"role": "tool"' in asked or '"tool_result"' in asked


def _tool_call(path: str, body: dict[str, Any]) -> dict[str, Any]:
    if path == "/v1/messages":
        call = {"type": "tool_use", "id": "call_1", "name": body["tools"][0]["name"], "input": CITY}
        usage = {"input_tokens": 9, "output_tokens": 5}
        whole = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": [call]}
        return {**whole, "stop_reason": "tool_use", "stop_sequence": None, "usage": usage}
    function = {"name": body["tools"][0]["function"]["name"], "arguments": json.dumps(CITY)}
    call = {"id": "call_1", "type": "function", "function": function}
    return _completion({"content": None, "tool_calls": [call]}, "tool_calls")


def _completion(message: dict[str, Any], reason: str) -> dict[str, Any]:
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    whole = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return {**whole, "usage": usage}
