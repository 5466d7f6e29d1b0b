"""What a realtime connection uses, found in the events that pass; only those that tell of it are parsed."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from shmastra_cloud.gateway.tokens import NOTHING, Tokens, read_usage

if TYPE_CHECKING:
    from collections.abc import Callable

_TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
_SESSION = ("session.created", "session.updated")
_TOLD = ("response.created", "response.done", _TRANSCRIBED, *_SESSION)
# A string of an event can hold neither: its quotes are escaped there.
_TELLS = re.compile("|".join(f'"{re.escape(kind)}"' for kind in _TOLD))
_DELTA = re.compile(r'"type"\s*:\s*"(response\.[a-z_.]+\.delta)"')
_RESPONSE = re.compile(r'"response_id"\s*:\s*"([^"\\]{1,128})"')
_SOME_TRANSCRIBER = "transcription"  # of no known name, so of no known price
_PIECE = '"delta"'
_CHARACTERS_PER_TOKEN = 4
# Audio that is spoken costs a token per 50 ms, audio that is heard one per 100 ms (OpenAI, "Managing costs").
_SPOKEN, _HEARD = 20, 10
_BYTES_PER_SECOND = {"audio/pcm": 48_000, "pcm16": 48_000}
_BYTES_PER_SECOND |= dict.fromkeys(("audio/pcmu", "audio/pcma", "g711_ulaw", "g711_alaw"), 8_000)
_MOST_RUNNING = 64


class Used(NamedTuple):
    """One response or transcription: its tokens, and its model where it is not the connection's.

    ``first_ms`` is the time to its first piece, ``duration_ms`` until it was done.
    """

    tokens: Tokens
    model: str | None = None
    first_ms: int | None = None
    duration_ms: int = 0


@dataclass
class _Running:
    """A response that is not done: when it began, and an estimate of what was produced."""

    began: float
    first: float | None = None
    text: float = 0
    audio: float = 0


class RealtimeMeter:
    """Sees both sides of one connection; ``clock`` tells seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._context = 0
        self._said = self._heard = 0
        self._rates = {"input": 48_000, "output": 48_000}
        self._transcriber: str | None = None

    @property
    def output_tokens(self) -> int:
        """An estimate of what is produced and was not told yet."""
        return math.ceil(sum(one.text + one.audio for one in self._running.values()))

    def sent(self, message: str | bytes) -> None:
        """See what the client says; it is told to cost something with the next response only."""
        audio = "input_audio_buffer.append" if isinstance(message, str) else b"input_audio_buffer.append"
        if audio in message:  # type: ignore[operator] # both are of one kind
            self._heard += len(message)
        else:
            self._said += len(message)

    def seen(self, message: str | bytes) -> Used | None:
        """See what the provider says; what it tells of usage is returned."""
        text = message if isinstance(message, str) else message.decode("utf-8", "replace")
        if _TELLS.search(text):
            event = _parsed(text)
            if event.get("type") in _TOLD:
                return self._told(event["type"], event)
        found = _DELTA.search(text)
        if found is not None:
            self._delta(found[1], text)
        return None

    def left(self) -> list[Used]:
        """Return estimates of what was begun and will not be told any more."""
        running, self._running = self._running, {}
        return [self._estimate(one) for one in running.values()]

    def _told(self, kind: str, event: dict[str, Any]) -> Used | None:
        if kind == _TRANSCRIBED:
            usage = _inner(event, "usage")
            return Used(_counted(usage), self._transcriber or _SOME_TRANSCRIBER) if usage else None
        if kind in _SESSION:
            self._session(_inner(event, "session"))
            return None
        response = _inner(event, "response")
        name = str(response.get("id") or "")
        if kind == "response.created":
            self._run(name)
            return None
        running = self._running.pop(name, None) or _Running(self._clock())
        used = self._estimate(running)
        if isinstance(response.get("usage"), dict):
            used = used._replace(tokens=_counted(response["usage"]))
        self._context, self._said, self._heard = used.tokens.input + used.tokens.output, 0, 0
        return used

    def _run(self, name: str) -> _Running:
        if name not in self._running and len(self._running) >= _MOST_RUNNING:
            name = ""
        return self._running.setdefault(name, _Running(self._clock()))

    def _delta(self, kind: str, text: str) -> None:
        found = _RESPONSE.search(text)
        if found is None:  # of a transcription, which is told when it is completed
            return
        running = self._run(found[1])
        if running.first is None:
            running.first = self._clock()
        size = _size_of_delta(text)
        if kind in ("response.output_audio.delta", "response.audio.delta"):
            running.audio += size * 3 / 4 / self._rates["output"] * _SPOKEN
        else:
            running.text += max(1.0, size / _CHARACTERS_PER_TOKEN)

    def _estimate(self, running: _Running) -> Used:
        heard = math.ceil(self._heard * 3 / 4 / self._rates["input"] * _HEARD)
        spoken = math.ceil(running.audio)
        first = None if running.first is None else round((running.first - running.began) * 1000)
        audio = {"input_audio_tokens": heard, "output_audio_tokens": spoken}
        more = {name: count for name, count in audio.items() if count}
        tokens = Tokens(
            input=self._context + self._said // _CHARACTERS_PER_TOKEN + heard,
            output=spoken + math.ceil(running.text),
            estimated=True,
            more=more or NOTHING,
        )
        return Used(tokens, None, first, round((self._clock() - running.began) * 1000))

    def _session(self, session: dict[str, Any]) -> None:
        """Note how audio is written, and which model transcribes it; both in today's form and the beta's."""
        audio = _inner(session, "audio")
        for side in ("input", "output"):
            told = _inner(_inner(audio, side), "format").get("type") or session.get(f"{side}_audio_format")
            self._rates[side] = _BYTES_PER_SECOND.get(str(told), self._rates[side])
        transcription = _inner(_inner(audio, "input"), "transcription") or _inner(
            session, "input_audio_transcription"
        )
        name = transcription.get("model")
        self._transcriber = name[:200] if isinstance(name, str) else None


def _size_of_delta(text: str) -> int:
    """Return about how long an event's piece is; it is not worth parsing."""
    begin = text.find(_PIECE) + len(_PIECE)
    end = text.find('",', begin + 2)
    return max(1, (end if end > 0 else len(text)) - begin - 3)


def _parsed(text: str) -> dict[str, Any]:
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _inner(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _counted(usage: dict[str, Any]) -> Tokens:
    """Return what a usage object says; of what was cached, this API says how much was audio."""
    tokens = read_usage(usage)
    cached = _inner(_inner(usage, "input_token_details"), "cached_tokens_details").get("audio_tokens")
    if type(cached) is not int or not 0 <= cached <= tokens.cached:
        return tokens
    more = {**tokens.more, "cache_audio_read_tokens": cached}
    return tokens._replace(more={name: count for name, count in more.items() if count} or NOTHING)
