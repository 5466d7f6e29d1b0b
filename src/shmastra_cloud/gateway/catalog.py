"""Which model serves each tier: the first configured provider that has one, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shmastra_cloud.gateway.model_rule import ModelRule
    from shmastra_cloud.gateway.providers import Provider

_DEMO = "smollm2-135m-instruct"
MODELS = {
    "openai": {"fast": "gpt-5-mini", "general": "gpt-5", "best": "gpt-5"},
    "anthropic": {"fast": "claude-haiku-4-5", "general": "claude-sonnet-4-5", "best": "claude-opus-4-5"},
    "google": {"fast": "gemini-2.5-flash-lite", "general": "gemini-2.5-flash", "best": "gemini-2.5-pro"},
    "demo": {"fast": _DEMO, "general": _DEMO, "best": _DEMO},
}
TIERS = ("fast", "general", "best")


class Catalog(TypedDict):
    """The catalog's shape."""

    providers: list[str]
    tiers: dict[str, str]


def catalog(providers: Mapping[str, Provider], rule: ModelRule | None = None) -> Catalog:
    """List the providers that have a key and the model of each tier.

    Under a rule a tier is served by the first provider whose model of it is allowed, else by the next lower
    or higher tier's; where nothing is allowed there is no tier.
    """
    names = list(dict.fromkeys(each.name for each in providers.values() if each.configured))
    chosen = [name for name in MODELS if name in names]
    if rule is None:
        chosen = chosen[:1]
    tiers: dict[str, str] = {}
    for tier in TIERS:
        allowed = [name for name in chosen if rule is None or rule.allows_model(name, MODELS[name][tier])]
        if allowed:
            tiers[tier] = f"{allowed[0]}/{MODELS[allowed[0]][tier]}"
    return {"providers": names, "tiers": _filled(tiers)}


def _filled(tiers: dict[str, str]) -> dict[str, str]:
    """Give each tier that has no model the one of its nearest lower tier, else of its nearest higher one."""
    if not tiers:
        return {}
    found = {}
    for at, tier in enumerate(TIERS):
        near = [*reversed(TIERS[: at + 1]), *TIERS[at + 1 :]]
        found[tier] = next(tiers[name] for name in near if name in tiers)
    return found
