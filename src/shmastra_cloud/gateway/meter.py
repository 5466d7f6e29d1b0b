"""Token counts, found in what passes by without parsing it: only its beginning and its end are kept."""

from __future__ import annotations

import json
import re
from collections import deque
from typing import Any

from shmastra_cloud.gateway.tokens import MAX_TOKENS, Tokens

HEAD_BYTES = 2 * 1024
TAIL_BYTES = 12 * 1024
_USAGE = re.compile(r'(?<!\\)"(?:usage|usageMetadata|usage_metadata)"\s*:\s*(?=\{)')
_DECODER = json.JSONDecoder()
_EVENT_OVERHEAD = 220
_OVERLAP = 2048
_BYTES_PER_TOKEN = 4


class Meter:
    """Sees a response's body piece by piece."""

    def __init__(self) -> None:
        self._head = b""
        self._head_room = HEAD_BYTES
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._bytes = 0
        self._events = 0

    def chunk(self, data: bytes) -> None:
        """Keep a reference to what may be needed; nothing is copied."""
        size = len(data)
        self._bytes += size
        self._events += data.count(b"data:")
        if self._head_room > 0:
            self._head += data[: self._head_room]
            self._head_room -= size
        if size > TAIL_BYTES:
            data, size = data[-TAIL_BYTES:], TAIL_BYTES
        self._tail.append(data)
        self._tail_size += size
        if self._tail_size > 2 * TAIL_BYTES:
            self._shorten()

    def _shorten(self) -> None:
        while self._tail_size - len(self._tail[0]) >= TAIL_BYTES:
            self._tail_size -= len(self._tail.popleft())

    def tokens(
        self, *, complete: bool, request_bytes: int, textual: bool = True, prose: bool = True
    ) -> Tokens:
        """Return what the response said it used; an estimate where it did not get to say so.

        Not ``textual``: neither side's bytes tell anything; not ``prose``: only the request's do.
        """
        found = _last(b"".join(self._tail))
        if complete and found is not None:
            if "output_tokens" in found and "input_tokens" not in found:  # Anthropic told the input before
                found = {**(_first(self._head.decode("utf-8", "replace")) or {}), **found}
            return _counts(found)
        begun = _first(self._head.decode("utf-8", "replace")) or {}
        known = _counts({**begun, **(found or {})})
        if not textual:
            return Tokens(known.input, known.cached, known.reasoning, known.output, estimated=True)
        return Tokens(
            input=known.input or request_bytes // _BYTES_PER_TOKEN,
            cached=known.cached,
            reasoning=known.reasoning,
            output=max(known.output, self._guess()) if prose else known.output,
            estimated=True,
        )

    def _guess(self) -> int:
        text = max(0, self._bytes - self._events * _EVENT_OVERHEAD)
        return max(self._events, text // _BYTES_PER_TOKEN)


def _first(text: str) -> dict[str, Any] | None:
    """Return the first usage object in a text; Anthropic tells the input there."""
    return _usage(text, list(_USAGE.finditer(text)))


def _last(data: bytes) -> dict[str, Any] | None:
    """Return the last usage object in a text that may begin and end anywhere."""
    end = len(data)
    while (start := data.rfind(b'"usage', 0, end)) >= 0:
        text = data[max(0, start - 1) : end + _OVERLAP].decode("utf-8", "replace")
        found = _usage(text, list(_USAGE.finditer(text)))
        if found is not None:
            return found
        end = start
    return None


def _usage(text: str, places: list[re.Match[str]]) -> dict[str, Any] | None:
    for found in places:
        try:
            value, _ = _DECODER.raw_decode(text, found.end())
        except ValueError:
            continue
        if isinstance(value, dict) and any(_is_count(name, value[name]) for name in value):
            return value
    return None


def _is_count(name: str, value: object) -> bool:
    return type(value) is int and name.endswith(("tokens", "TokenCount"))


def _counts(usage: dict[str, Any]) -> Tokens:
    if "promptTokenCount" in usage or "totalTokenCount" in usage:
        return _google(usage)
    if "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage:
        cached = _number(usage, "cache_read_input_tokens")
        written = _number(usage, "cache_creation_input_tokens")
        return Tokens(
            input=_number(usage, "input_tokens") + cached + written,
            cached=cached,
            output=_number(usage, "output_tokens"),
        )
    return Tokens(
        input=_number(usage, "prompt_tokens") or _number(usage, "input_tokens"),
        cached=_detail(usage, "cached_tokens", "prompt_tokens_details", "input_tokens_details"),
        reasoning=_detail(usage, "reasoning_tokens", "completion_tokens_details", "output_tokens_details"),
        output=_number(usage, "completion_tokens") or _number(usage, "output_tokens"),
    )


def _google(usage: dict[str, Any]) -> Tokens:
    thoughts = _number(usage, "thoughtsTokenCount")
    return Tokens(
        input=_number(usage, "promptTokenCount") + _number(usage, "toolUsePromptTokenCount"),
        cached=_number(usage, "cachedContentTokenCount"),
        reasoning=thoughts,
        output=_number(usage, "candidatesTokenCount") + thoughts,
    )


def _detail(usage: dict[str, Any], name: str, first: str, second: str) -> int:
    place = usage.get(first) or usage.get(second)
    return _number(place, name) if place else 0


def _number(usage: object, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return min(value, MAX_TOKENS) if type(value) is int and value > 0 else 0
