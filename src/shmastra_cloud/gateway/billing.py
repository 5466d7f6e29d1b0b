"""Joins what an answer told or showed with what its request tells: the tokens that a call is billed for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shmastra_cloud.gateway.estimates import (
    AUDIO_BYTES_PER_SECOND,
    BYTES_PER_TOKEN,
    HEARD_TOKENS_PER_SECOND,
    SPOKEN_TOKENS_PER_CHARACTER,
    estimate_input,
)
from shmastra_cloud.gateway.tokens import MAX_TOKENS, Tokens

if TYPE_CHECKING:
    from shmastra_cloud.gateway.asked import Asked
    from shmastra_cloud.gateway.meter import Meter
    from shmastra_cloud.gateway.routes import Route


_USUAL = (None, "default")


class Seen(NamedTuple):
    """How an answer came: whole, as text, what it likely holds unseen, and how often the web was searched."""

    complete: bool
    textual: bool
    unseen: int = 0
    searches: int = 0


def used(meter: Meter, route: Route, asked: Asked, request: bytes, seen: Seen) -> Tokens:
    """Return what a call used, marked as estimated where a part of it was not told."""
    tokens = meter.tokens(complete=seen.complete, textual=seen.textual and route.prose, unseen=seen.unseen)
    if tokens.estimated:
        tokens = _by_the_request(tokens, route, asked, request)
    if seen.searches:
        tokens = tokens._replace(more={**tokens.more, "web_searches": seen.searches}, estimated=True)
    if asked.tier is not None or tokens.tier not in _USUAL:
        tokens = _served(tokens, asked.tier)
    return tokens


def _served(tokens: Tokens, wanted: str | None) -> Tokens:
    """Settle the tier: the cheap one only if it was asked for and served, a dear one if either says so."""
    if tokens.tier == "flex" and wanted != "flex":
        return tokens._replace(tier=None)
    if tokens.tier is None and wanted is not None:
        return tokens._replace(tier=None if wanted == "flex" else wanted, estimated=True)
    return tokens


def _by_the_request(tokens: Tokens, route: Route, asked: Asked, request: bytes) -> Tokens:
    if tokens.input or tokens.more:
        return tokens
    if not route.audio:
        return tokens._replace(input=min(estimate_input(request), MAX_TOKENS))
    if asked.characters:
        return tokens._replace(
            input=asked.characters // BYTES_PER_TOKEN,
            output=max(tokens.output, int(asked.characters * SPOKEN_TOKENS_PER_CHARACTER)),
            more={"input_characters": asked.characters},
        )
    seconds = len(request) / AUDIO_BYTES_PER_SECOND
    heard = int(seconds * HEARD_TOKENS_PER_SECOND)
    return tokens._replace(input=heard, more={"audio_seconds": seconds, "input_audio_tokens": heard})
