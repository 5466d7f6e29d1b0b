"""Token counts, found in what passes by without parsing it: only its beginning and its end are kept."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from shmastra_cloud.gateway.estimates import BYTES_PER_TOKEN, UPPER_BYTES_PER_TOKEN, Shown, fields_of, shown
from shmastra_cloud.gateway.tokens import Tokens, read_usage, tells_usage

HEAD_BYTES = 2 * 1024
TAIL_BYTES = 12 * 1024
_USAGE = re.compile(rb'"usage(?:Metadata|_metadata)?"\s*:\s*(?=\{)')
_TIER = re.compile(rb'"service_tier"\s*:\s*"([a-z_]{1,20})"')
_DECODER = json.JSONDecoder()
_LONGEST_USAGE = 4096
_LONGEST_EVENT = 64 * 1024
_TIER_BYTES = 8 * 1024
_USUAL = frozenset({b"auto", b"default", b"standard", b"scale"})
_DEFAULT = "default"
_DEARER = (b"ultrafast", b"priority", b"fast")
_ALL = fields_of("openai")


class _Found(NamedTuple):
    """A usage object, and where it ends."""

    usage: dict[str, Any]
    end: int


class Meter:
    """Sees a response's body piece by piece; ``fields`` are the names of what carries output in a stream."""

    def __init__(self, fields: tuple[bytes, ...] = _ALL) -> None:
        self._fields = fields
        self._head = b""
        self._head_room = HEAD_BYTES
        self._tail: list[bytes] = []  # an empty deque is larger than most streams' tails
        self._tail_size = 0
        self._bytes = 0
        self._watching = False
        self._open = b""
        self._pieces = self._size = 0

    def chunk(self, data: bytes) -> None:
        """Keep a reference to what may be needed; nothing is copied."""
        size = len(data)
        self._bytes += size
        if self._watching:
            self._look(data)
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
        dropped = 0
        while self._tail_size - len(self._tail[dropped]) >= TAIL_BYTES:
            self._tail_size -= len(self._tail[dropped])
            dropped += 1
        del self._tail[:dropped]

    def watch(self) -> None:
        """Count what the stream shows from now on, chunk by chunk, for :meth:`so_far`."""
        self._watching = True

    def so_far(self) -> int:
        """Return how many tokens a watched stream has shown, rather too many than too few.

        What a model thinks unseen is not in it.
        """
        return max(self._pieces, -(-self._size // UPPER_BYTES_PER_TOKEN))

    def _look(self, data: bytes) -> None:
        if self._open:
            data = self._open + data
            self._open = b""
        if not data.endswith(b"\n"):
            end = data.rfind(b"\n") + 1
            if len(data) - end <= _LONGEST_EVENT:
                data, self._open = data[:end], data[end:]  # an event is looked at once it is whole
        pieces, size = shown(data, self._fields)
        self._pieces += pieces
        self._size += size

    def tokens(self, *, complete: bool, textual: bool = True, unseen: int = 0) -> Tokens:
        """Return what the response said it used; an estimate of the output where it did not get to say so.

        Not ``textual``: its bytes tell nothing. ``unseen`` is an output that is likely without being shown.
        """
        tail = b"".join(self._tail)
        last = _last(tail)
        known = self._known(tail, last)
        if complete and last is not None:
            return known
        produced = self._produced(tail, known.output, last) if textual else known.output
        return known._replace(output=max(known.output, produced, unseen), estimated=True)

    def _known(self, tail: bytes, last: _Found | None) -> Tokens:
        """Return what was told, at the end or, where the end is missing, at the beginning."""
        if last is None:
            return read_usage(_first(self._head))
        usage = last.usage
        if "promptTokenCount" in usage:
            return read_usage(usage)
        if "output_tokens" in usage and ("input_tokens" not in usage or "cache_read_input_tokens" in usage):
            if "cache_creation" in usage:
                return read_usage(usage)
            # Anthropic tells the input, and how it was cached, at the beginning of a stream only.
            later = {name: value for name, value in usage.items() if value is not None}
            return read_usage({**_first(self._head), **later})
        return read_usage(usage, _tier(tail))

    def _produced(self, tail: bytes, told: int, last: _Found | None) -> int:
        """Estimate the output: what was told, and what was shown after that; else by all that was shown."""
        if last is not None:
            return told + shown(tail[last.end :], self._fields).tokens()
        if self._watching:
            rest = shown(self._open, self._fields)
            return Shown(self._pieces + rest.pieces, self._size + rest.size).tokens()
        found = shown(tail, self._fields)
        if b"data:" not in tail and (self._bytes > len(tail) or not found.pieces):
            return self._bytes // BYTES_PER_TOKEN  # no stream: all but little of it is text
        if self._bytes > len(tail):  # the rest is taken to have been like its end
            found = Shown(found.pieces * self._bytes // len(tail), found.size * self._bytes // len(tail))
        return found.tokens()


def _first(data: bytes) -> dict[str, Any]:
    """Return the first usage object in a text; Anthropic tells the input there."""
    for place in _USAGE.finditer(data):
        found = _usage(data, place)
        if found is not None:
            return found.usage
    return {}


def _last(data: bytes) -> _Found | None:
    """Return the last usage object in a text that may begin and end anywhere."""
    end = len(data)
    while (start := data.rfind(b'"usage', 0, end)) >= 0:
        place = _USAGE.match(data, start)
        found = None if place is None else _usage(data, place)
        if found is not None:
            return found
        end = start
    return None


def _usage(data: bytes, place: re.Match[bytes]) -> _Found | None:
    start = place.end()
    try:
        value, end = _DECODER.raw_decode(data[start : start + _LONGEST_USAGE].decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return _Found(value, start + end) if tells_usage(value) else None


def _tier(tail: bytes) -> str | None:
    """Return how OpenAI served a call, if it says so; the usual is ``default``.

    A caller may have the name repeated elsewhere in the answer, so the dearest tier named is believed.
    """
    end = tail[-_TIER_BYTES:]
    named = end.count(b'"service_tier"')
    if not named or named == end.count(b'"service_tier":"default"'):
        return _DEFAULT if named else None
    told = set(_TIER.findall(end))
    dearer = next((name for name in _DEARER if name in told), None)
    cheaper = b"default" if told & _USUAL else min(told, default=None)
    tier = dearer or cheaper
    return None if tier is None else tier.decode()
