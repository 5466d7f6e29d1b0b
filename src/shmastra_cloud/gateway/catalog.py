"""Which model serves each tier: the first configured provider that has one, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shmastra_cloud.gateway.providers import Provider

_DEMO = "smollm2-135m-instruct"
MODELS = {
    "openai": {"fast": "gpt-5-mini", "general": "gpt-5", "best": "gpt-5"},
    "anthropic": {"fast": "claude-haiku-4-5", "general": "claude-sonnet-4-5", "best": "claude-opus-4-5"},
    "google": {"fast": "gemini-2.5-flash-lite", "general": "gemini-2.5-flash", "best": "gemini-2.5-pro"},
    "demo": {"fast": _DEMO, "general": _DEMO, "best": _DEMO},
}


class Catalog(TypedDict):
    """The catalog's shape."""

    providers: list[str]
    tiers: dict[str, str]


def catalog(providers: Mapping[str, Provider]) -> Catalog:
    """List the providers that have a key and the model of each tier."""
    names = list(dict.fromkeys(each.name for each in providers.values() if each.configured))
    chosen = next((name for name in MODELS if name in names), None)
    tiers = {} if chosen is None else {tier: f"{chosen}/{model}" for tier, model in MODELS[chosen].items()}
    return {"providers": names, "tiers": tiers}
