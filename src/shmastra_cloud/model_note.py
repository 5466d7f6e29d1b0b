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


def model_note(providers: Mapping[str, Provider]) -> str | None:
    """Return a sentence for the workspace page and for Studio, or None where a real provider answers."""
    model = catalog(providers)["tiers"].get("general")
    if model is None:
        return NONE
    return DEMO if model.startswith("demo/") else None
