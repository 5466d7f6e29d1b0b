"""What was asked and answered, as OpenTelemetry's conventions write messages; only where that is switched on.

A message is ``{"role", "parts": [{"type": "text", "content"}]}``, as in
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/; what is no text is named and left out.
"""

from __future__ import annotations

import json
from typing import Any

CHARACTERS = 16 * 1024
CUT = "…"
MESSAGES = 200
DEPTH = 4  # a message, its content, a part of it, that part's content
SYSTEM = ("system", "instructions", "systemInstruction", "system_instruction")

Part = dict[str, str]


def asked(body: bytes | None) -> str | None:
    """Return a request's messages as JSON; None where there is nothing that can be read."""
    found = _json(body)
    if not isinstance(found, dict):
        return None
    messages = [("system", found[key]) for key in SYSTEM if found.get(key)]
    for key in ("messages", "input", "contents"):
        said = found.get(key)
        if isinstance(said, str):
            messages.append(("user", said))
        elif isinstance(said, list):
            messages += [
                (one.get("role") or one.get("type") or "user", one) for one in said if isinstance(one, dict)
            ]
    return _written([{"role": str(role)[:60], "parts": _parts(said)} for role, said in messages])


def answered(body: bytes | None) -> str | None:
    """Return the answer's text as one message in JSON; None where there is none that can be read."""
    whole = _json(body)
    if whole is None:
        events = [_json(line[5:]) for line in (body or b"").splitlines() if line.startswith(b"data:")]
    else:
        events = whole if isinstance(whole, list) else [whole]
    text = "".join(_text(event) for event in events if isinstance(event, dict))
    return _written([{"role": "assistant", "parts": [_text_part(text)]}]) if text else None


def _json(data: bytes | None) -> Any:
    try:
        return json.loads(data) if data else None
    except (ValueError, RecursionError):
        return None


def _parts(said: Any, depth: int = DEPTH) -> list[Part]:
    """Return what a message consists of, whichever provider's format it has."""
    if isinstance(said, str):
        return [_text_part(said)]
    if isinstance(said, dict) and depth:
        return _of_object(said, depth - 1)
    if isinstance(said, list) and depth:
        return [part for one in said[:MESSAGES] for part in _parts(one, depth - 1)]
    return []


def _of_object(said: dict[str, Any], depth: int) -> list[Part]:
    inner = said.get("content", said.get("parts"))
    if inner is not None:
        return _parts(inner, depth)
    text = said.get("text")
    return [_text_part(text) if isinstance(text, str) else {"type": str(said.get("type", "other"))[:60]}]


def _text(event: dict[str, Any]) -> str:
    """Return the text that an answer, or one event of its stream, brings."""
    if event.get("type") in ("response.output_text.delta", "content_block_delta"):
        return _first(event.get("delta"))
    found = _all(event.get("choices"), "message", "delta")
    found += _all(event.get("candidates"), "content")
    for key in ("output", "content"):
        if isinstance(event.get(key), list):
            found += event[key]
    return "".join(part.get("content", "") for one in found for part in _parts(one))


def _first(delta: Any) -> str:
    text = delta.get("text") if isinstance(delta, dict) else delta
    return text if isinstance(text, str) else ""


def _all(found: Any, *keys: str) -> list[Any]:
    return [
        one[key]
        for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict)
        for key in keys
        if isinstance(one.get(key), dict)
    ]


def _text_part(text: str) -> Part:
    return {"type": "text", "content": text}


def _written(messages: list[dict[str, Any]]) -> str | None:
    """Write messages, of all together ``CHARACTERS`` of text at most; the latest are what matters."""
    room = CHARACTERS
    kept = []
    for message in reversed(messages):
        for part in message["parts"]:
            text = part.get("content", "")
            if len(text) > room:
                part["content"] = text[:room] + CUT
            room = max(0, room - len(text))
        kept.append(message)
        if room == 0 or len(kept) == MESSAGES:
            break
    return json.dumps(kept[::-1]) if kept else None
