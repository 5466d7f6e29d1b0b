"""What a call used, in the units that providers bill."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TOKENS = 2**31 - 1  # what a row holds
NOTHING: Mapping[str, float] = MappingProxyType({})


class Tokens(NamedTuple):
    """What a call used; input includes cached and written to a cache, output includes reasoning.

    ``more`` holds what else has a price of its own, under the names of ``genai-prices``
    (``input_audio_tokens``, ``cache_write_1h_tokens``, ``web_searches``, ``audio_seconds``,
    ``input_characters``); its tokens are counted in the totals too. ``tier`` is how the provider served the
    call where that changes the price (``flex``, ``priority``, ``fast``).
    """

    input: int = 0
    cached: int = 0
    reasoning: int = 0
    output: int = 0
    estimated: bool = False
    cache_write: int = 0
    more: Mapping[str, float] = NOTHING
    tier: str | None = None
