"""What of a request changes its price, or what can be told of it when its answer does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIERS = frozenset({"flex", "priority", "fast", "ultrafast"})


class Asked(NamedTuple):
    """``tier``: a service tier other than the usual; ``characters``: text to be spoken.

    ``thinks``: Claude was told to think; ``searches``: the provider may search the web for the answer.
    """

    tier: str | None = None
    characters: int = 0
    thinks: bool = False
    searches: bool = False


NOTHING_SPECIAL = Asked()


def asked_of(body: Mapping[str, Any]) -> Asked:
    """Read a request's JSON body; shapes that its provider would refuse mean nothing."""
    tier = body.get("service_tier") or body.get("serviceTier")
    text, thinking, tools = body.get("input"), body.get("thinking"), body.get("tools")
    tier = tier.lower() if isinstance(tier, str) and tier.lower() in _TIERS else None
    spoken = len(text) if isinstance(text, str) and "voice" in body else 0
    thinks = isinstance(thinking, dict) and thinking.get("type") != "disabled"
    searches = "web_search_options" in body or (isinstance(tools, list) and any(map(_searches, tools)))
    if tier is None and not spoken and not thinks and not searches:
        return NOTHING_SPECIAL
    return Asked(tier, spoken, thinks, searches)


def _searches(tool: object) -> bool:
    """Whether a tool is one of those with which OpenAI or Google search the web; Anthropic counts its own."""
    if not isinstance(tool, dict):
        return False
    kind = tool.get("type")
    named = isinstance(kind, str) and kind.startswith("web_search") and "name" not in tool
    return named or "google_search" in tool or "googleSearch" in tool
