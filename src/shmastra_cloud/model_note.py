"""What users are told about the model that answers them, where there is something to tell. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmastra_cloud.gateway import catalog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shmastra_cloud.gateway import Provider

VARIABLES = "OPENAI_API_KEY, ANTHROPIC_API_KEY or GOOGLE_GENERATIVE_AI_API_KEY"
DEMO = f"Answers come from a tiny demo model, often wrong; set {VARIABLES} for a real one."
NONE = f"No model provider is configured, so agents cannot answer; set {VARIABLES}."
UNSAID = "It is not said which model serves agents, so they cannot answer; set SHMASTRA_MODELS_GENERAL."


def model_note(providers: Mapping[str, Provider], chosen: Mapping[str, str] | None = None) -> str | None:
    """Return a sentence for the workspace page and for Studio, or None where a real provider answers.

    ``chosen`` are the models that an admin chose for the tiers.
    """
    told = catalog(providers, chosen)
    model = told["tiers"].get("general")
    if model is None:
        return UNSAID if set(told["providers"]) - {"composio"} else NONE
    return DEMO if model.startswith("demo/") else None
