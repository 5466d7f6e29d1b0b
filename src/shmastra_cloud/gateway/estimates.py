"""Token counts where a provider tells none, or not all: from the bytes of what was asked and answered.

What a stream shows of a model's output is found by the names of the fields that carry it, without parsing an
event; text inside another text can't be mistaken for a field, because its quotes are escaped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from shmastra_cloud.gateway.formats import Format

BYTES_PER_TOKEN = 4  # of English text; code and most other languages have fewer
UPPER_BYTES_PER_TOKEN = 3
# What a model has likely made by a second of thinking unseen, or of writing what comes in one piece.
UNSEEN_TOKENS_PER_SECOND = 60
AUDIO_BYTES_PER_SECOND = 4000  # 32 kbit/s
HEARD_TOKENS_PER_SECOND = 10
SPOKEN_TOKENS_PER_CHARACTER = 1.4  # 15 characters and 21 tokens a second

RESPONSES = (b'"delta"',)  # each text is there again as a whole when it is done
_CHAT = (b'"content"', b'"arguments"', b'"reasoning_content"', b'"reasoning"', b'"refusal"', b'"text"')
_FIELDS: dict[Format, tuple[bytes, ...]] = {
    "anthropic": (b'"text"', b'"partial_json"', b'"thinking"'),
    "google": (b'"text"', b'"args"'),
}
_TEXT = re.compile(rb'\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)')
_ONE_EVENT = 512  # hardly ever holds two that carry different fields

_ATTACHED_FROM = 4096
_ATTACHED_TOKENS, _ATTACHED_BYTES_PER_TOKEN = 1500, 64


class Shown(NamedTuple):
    """Output found in a stretch of a stream: pieces of text, and their bytes."""

    pieces: int = 0
    size: int = 0

    def tokens(self, bytes_per_token: int = BYTES_PER_TOKEN) -> int:
        """Return how many tokens that likely is: a piece is one at least."""
        return max(self.pieces, -(-self.size // bytes_per_token))


def fields_of(style: Format, *, responses: bool = False) -> tuple[bytes, ...]:
    """Return the names of the fields that carry a model's output in a provider's streams."""
    return RESPONSES if responses else _FIELDS.get(style, _CHAT)


def shown(data: bytes, fields: tuple[bytes, ...]) -> Shown:
    """Return what a stretch of a stream, or an answer in one piece, shows of a model's output."""
    pieces = size = 0
    for field in fields:
        at = data.find(field)
        while at >= 0:
            at += len(field)
            if text := _TEXT.match(data, at):
                at = text.end()
                if length := at - text.start(1):
                    pieces += 1
                    size += length
            at = data.find(field, at)
        if pieces and len(data) <= _ONE_EVENT:
            break
    return Shown(pieces, size)


def estimate_input(body: bytes) -> int:
    """Return how many tokens a request's body likely is to a model.

    Pictures, documents and recordings stand in it as base64, of which a model makes far fewer tokens than of
    text: a string of 4 KB or more that holds no space and no escape is taken for one.
    """
    size, tokens = len(body), 0
    if size >= _ATTACHED_FROM:
        for text in body.split(b'"'):
            length = len(text)
            if length >= _ATTACHED_FROM and b" " not in text and b"\\" not in text and text.isascii():
                size -= length
                tokens += _ATTACHED_TOKENS + length // _ATTACHED_BYTES_PER_TOKEN
    return tokens + size // BYTES_PER_TOKEN
