"""Which model serves each tier: what an admin chose, else that of the first provider that has any."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict

from shmastra_cloud.gateway.errors import BadConfiguration
from shmastra_cloud.gateway.providers import providers_from_env

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shmastra_cloud.gateway.model_rule import ModelRule
    from shmastra_cloud.gateway.providers import Provider

TIERS = ("fast", "general", "best")
_VARIABLES = {
    "fast": "SHMASTRA_MODELS_FAST",
    "general": "SHMASTRA_MODELS_GENERAL",
    "best": "SHMASTRA_MODELS_BEST",
}
# A tier that an admin left open, where no provider has models of its own, is served by his nearest choice.
_NEAREST = {
    "fast": ("fast", "general", "best"),
    "general": ("general", "best", "fast"),
    "best": ("best", "general", "fast"),
}
_MODEL = re.compile(r"(?P<provider>[a-z0-9-]+)/[A-Za-z0-9][A-Za-z0-9._:@~/-]{0,199}")
FIRST = ("openai", "anthropic", "google")
LAST = "demo"


class Catalog(TypedDict):
    """The catalog's shape."""

    providers: list[str]
    tiers: dict[str, str]


def chosen_models(environ: Mapping[str, str], providers: Mapping[str, Provider]) -> dict[str, str]:
    """Return the models that an admin chose, by tier; one of a provider that cannot be asked counts as unset.

    Raises:
        BadConfiguration: a setting names no model of a known provider.

    """
    chosen = {}
    for tier, variable in _VARIABLES.items():
        value = environ.get(variable, "").strip()
        if not value:
            continue
        found = _MODEL.fullmatch(value)
        if found is None or found["provider"] not in providers or found["provider"] == "composio":
            known = ", ".join(name for name in providers if name != "composio")
            raise BadConfiguration(
                f"{variable} must be like acme/some-model, where the provider is one of {known}."
            )
        if providers[found["provider"]].configured:
            chosen[tier] = value
    return chosen


def tiers_from_env(environ: Mapping[str, str]) -> dict[str, str]:
    """Return which model serves each tier, the demo model aside; empty where no real one does.

    Raises:
        BadConfiguration: a setting is unusable; the message names it and never a key.

    """
    real = {name: value for name, value in environ.items() if name != "SHMASTRA_DEMO_SOCKET"}
    providers = providers_from_env(real)
    return catalog(providers, chosen_models(real, providers))["tiers"]


def catalog(
    providers: Mapping[str, Provider],
    chosen: Mapping[str, str] | None = None,
    rule: ModelRule | None = None,
) -> Catalog:
    """List the providers that can be asked, and the model of each tier.

    Under a rule a tier whose model is not allowed is served by the first provider whose own is, else as the
    nearest tier is; where nothing is allowed there is no tier.
    """
    there = {one.name: one for one in providers.values() if one.configured}
    order = [*FIRST, *(name for name in there if name not in (*FIRST, LAST)), LAST]
    own = [_own_models(there[name]) for name in order if name in there and there[name].models]
    models = own[0] if own else {}
    picked = chosen or {}
    if picked and (not own or models["fast"].startswith(f"{LAST}/")):
        models = {tier: next(picked[one] for one in _NEAREST[tier] if one in picked) for tier in TIERS}
    tiers = {**models, **picked}
    return {"providers": list(there), "tiers": tiers if rule is None else _allowed(rule, [tiers, *own])}


def _own_models(provider: Provider) -> dict[str, str]:
    return {
        tier: f"{provider.name}/{model}" for tier, model in zip(TIERS, provider.models or (), strict=True)
    }


def _allowed(rule: ModelRule, wanted: list[dict[str, str]]) -> dict[str, str]:
    """Return for each tier the first model that a rule allows, else that of the nearest tier with one."""
    found: dict[str, str] = {}
    for tier in TIERS:
        names = [models[tier] for models in wanted if tier in models]
        allowed = [name for name in names if rule.allows_model(*name.split("/", 1))]
        if allowed:
            found[tier] = allowed[0]
    return {tier: next(found[one] for one in _NEAREST[tier] if one in found) for tier in TIERS if found}
