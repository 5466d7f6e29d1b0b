"""Which model serves each tier: what an admin chose, else that of the first provider that has any."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict

from shmastra_cloud.gateway.errors import BadConfiguration
from shmastra_cloud.gateway.providers import providers_from_env

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def catalog(providers: Mapping[str, Provider], chosen: Mapping[str, str] | None = None) -> Catalog:
    """List the providers that can be asked, and the model of each tier."""
    there = {one.name: one for one in providers.values() if one.configured}
    order = [*FIRST, *(name for name in there if name not in (*FIRST, LAST)), LAST]
    first = next((there[name] for name in order if name in there and there[name].models), None)
    models = (
        {}
        if first is None
        else {tier: f"{first.name}/{model}" for tier, model in zip(TIERS, first.models or (), strict=True)}
    )
    picked = chosen or {}
    if picked and (first is None or first.name == LAST):
        models = {tier: next(picked[one] for one in _NEAREST[tier] if one in picked) for tier in TIERS}
    return {"providers": list(there), "tiers": {**models, **picked}}
