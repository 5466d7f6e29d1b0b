"""What a call used, in the units that providers bill, read out of the usage object that ends an answer.

The shapes are those of the official SDKs' types: ``openai`` (chat, responses, embeddings, images, audio),
``anthropic`` (messages) and ``google-genai``; providers that speak OpenAI's API vary it a little.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TOKENS = 2**31 - 1  # what a row holds
MAX_SECONDS = 10_000_000.0
NOTHING: Mapping[str, float] = MappingProxyType({})
_PLAIN = frozenset({"prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens"})
_MODALITIES = {"AUDIO": "audio", "IMAGE": "image", "DOCUMENT": "image", "VIDEO": "video"}


class Tokens(NamedTuple):
    """What a call used; input includes cached and written to a cache, output includes reasoning.

    ``more`` holds what else has a price of its own, under the names of ``genai-prices``
    (``input_audio_tokens``, ``cache_write_1h_tokens``, ``web_searches``, ``audio_seconds``,
    ``input_characters``); its tokens are counted in the totals too. ``tier`` is how the provider said that
    it served the call: ``default``, or what changes the price (``flex``, ``priority``, ``fast``).
    """

    input: int = 0
    cached: int = 0
    reasoning: int = 0
    output: int = 0
    estimated: bool = False
    cache_write: int = 0
    more: Mapping[str, float] = NOTHING
    tier: str | None = None


def tells_usage(value: object) -> bool:
    """Whether a decoded value is a usage object: it counts tokens, or the seconds of a recording."""
    return isinstance(value, dict) and (
        type(value.get("prompt_tokens")) is int
        or type(value.get("output_tokens")) is int
        or any(type(value[name]) is int and name.endswith(("tokens", "TokenCount")) for name in value)
        or (value.get("type") == "duration" and "seconds" in value)
    )


def read_usage(usage: dict[str, Any], tier: str | None = None) -> Tokens:
    """Return what a usage object says; a count that can't be one is taken for none.

    ``tier`` is the one that OpenAI names beside it.
    """
    if "promptTokenCount" in usage or "totalTokenCount" in usage:
        return _google(usage)
    if "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage:
        return _anthropic(usage)
    return _openai(usage, tier)


def _openai(usage: dict[str, Any], tier: str | None) -> Tokens:
    asked = _number(usage, "prompt_tokens") or _number(usage, "input_tokens")
    output = _number(usage, "completion_tokens") or _number(usage, "output_tokens")
    if usage.keys() <= _PLAIN:
        return Tokens(asked, output=output, tier=tier)
    told = _part(usage, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    made = _part(usage, "completion_tokens_details", "output_tokens_details", "output_token_details")
    reasoning = _number(made, "reasoning_tokens")
    if reasoning and _number(usage, "total_tokens") == asked + output + reasoning:
        output = min(output + reasoning, MAX_TOKENS)  # xAI counts it apart
    cached = _number(told, "cached_tokens") or _number(usage, "prompt_cache_hit_tokens")  # DeepSeek's name
    written = _number(told, "cache_write_tokens")
    more = NOTHING
    if _beyond_text(usage, told, made):
        more = _sparse(_more_of_openai(usage, told, made, output), asked, cached)
    return Tokens(asked, cached, reasoning, output, False, written, more, tier)


def _beyond_text(usage: dict[str, Any], *details: dict[str, Any]) -> bool:
    return "type" in usage or any(each.get("audio_tokens") or "image_tokens" in each for each in details)


def _more_of_openai(
    usage: dict[str, Any], told: dict[str, Any], made: dict[str, Any], output: int
) -> dict[str, float]:
    more: dict[str, float] = {
        "input_audio_tokens": _number(told, "audio_tokens"),
        "input_image_tokens": _number(told, "image_tokens"),
        "output_audio_tokens": _number(made, "audio_tokens"),
        "output_image_tokens": _number(made, "image_tokens"),
    }
    if "image_tokens" in told and not made and "input_tokens" in usage:  # the image routes' older shape
        more["output_image_tokens"] = output
    if usage.get("type") == "duration":
        more["audio_seconds"] = _seconds(usage)
    return more


def _anthropic(usage: dict[str, Any]) -> Tokens:
    cached = _number(usage, "cache_read_input_tokens")
    written = _number(usage, "cache_creation_input_tokens")
    tier = usage.get("service_tier")
    if usage.get("speed") == "fast":
        tier = "fast"
    elif usage.get("inference_geo") == "us":
        tier = "us"  # dearer by a factor that the tables don't know
    return Tokens(
        input=min(_number(usage, "input_tokens") + cached + written, MAX_TOKENS),
        cached=cached,
        reasoning=_number(_part(usage, "output_tokens_details"), "thinking_tokens"),
        output=_number(usage, "output_tokens"),
        cache_write=written,
        more=_sparse(
            {
                "cache_write_1h_tokens": _number(_part(usage, "cache_creation"), "ephemeral_1h_input_tokens"),
                "web_searches": _number(_part(usage, "server_tool_use"), "web_search_requests"),
            }
        ),
        tier=tier if isinstance(tier, str) and tier != "standard" else None,
    )


def _google(usage: dict[str, Any]) -> Tokens:
    thoughts, cached = _number(usage, "thoughtsTokenCount"), _number(usage, "cachedContentTokenCount")
    asked = _number(usage, "promptTokenCount") + _number(usage, "toolUsePromptTokenCount")
    more: dict[str, float] = {}
    for name, unit in (
        ("promptTokensDetails", "input_{}_tokens"),
        ("toolUsePromptTokensDetails", "input_{}_tokens"),
        ("cacheTokensDetails", "cache_{}_read_tokens"),
        ("candidatesTokensDetails", "output_{}_tokens"),
    ):
        for part in _list(usage.get(name)):
            modality = _MODALITIES.get(str(part.get("modality")))
            if modality:
                key = unit.format(modality)
                more[key] = more.get(key, 0) + _number(part, "tokenCount")
    return Tokens(
        input=min(asked, MAX_TOKENS),
        cached=cached,
        reasoning=thoughts,
        output=min(_number(usage, "candidatesTokenCount") + thoughts, MAX_TOKENS),
        more=_sparse(more, asked, cached) if more else NOTHING,
    )


def _sparse(more: dict[str, float], asked: int = 0, cached: int = 0) -> Mapping[str, float]:
    """Leave out what is nothing, and say how much of what was cached was not text.

    Where a provider doesn't say that, as little as is possible was: that is the dearer reading.
    """
    found = {key: value for key, value in more.items() if value}
    if found and cached:
        for modality in ("audio", "image", "video"):
            part = found.get(f"input_{modality}_tokens", 0)
            if part:
                found.setdefault(f"cache_{modality}_read_tokens", max(0, cached + part - asked))
    return found or NOTHING


def _part(usage: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        value = usage.get(name)
        if isinstance(value, dict):
            return value
    return {}


def _list(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _number(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name)
    return min(value, MAX_TOKENS) if type(value) is int and value > 0 else 0


def _seconds(usage: dict[str, Any]) -> float:
    value = usage.get("seconds")
    told = isinstance(value, int | float) and math.isfinite(value) and value > 0
    return min(float(value), MAX_SECONDS) if isinstance(value, int | float) and told else 0.0
