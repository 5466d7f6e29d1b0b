"""The providers that are known by name: what switches each on, where it is, and its models. Data only.

Addresses and variables are the ones of the providers' own documentation (November 2026); models are those of
Mastra's registry (`@mastra/core` 1.71), so that an id that the catalog gives is one that Studio knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from shmastra_cloud.gateway.formats import Format


class Tiers(NamedTuple):
    """Which model of a provider serves each tier."""

    fast: str
    general: str
    best: str


@dataclass(frozen=True)
class Kind:
    """A provider before its settings were read.

    ``url`` is its public address, None where each customer has his own and ``url_variable`` switches it on;
    ``key_optional`` says that it answers without a key; ``models`` serve the tiers.
    """

    name: str
    variable: str
    url_variable: str
    url: str | None
    version: bytes = b"/v1"
    key_header: bytes = b"authorization"
    key_prefix: bytes = b"Bearer "
    style: Format = "openai"
    key_optional: bool = False
    asks_usage: bool = True
    models: Tiers | None = None


BUILT_IN = (
    Kind(
        "openai",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "https://api.openai.com/v1",
        models=Tiers("gpt-5-mini", "gpt-5", "gpt-5"),
    ),
    Kind(
        "anthropic",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
        "https://api.anthropic.com/v1",
        key_header=b"x-api-key",
        key_prefix=b"",
        style="anthropic",
        models=Tiers("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5"),
    ),
    Kind(
        "google",
        "GOOGLE_GENERATIVE_AI_API_KEY",
        "GOOGLE_GENERATIVE_AI_BASE_URL",
        "https://generativelanguage.googleapis.com/v1beta",
        version=b"/v1beta",
        key_header=b"x-goog-api-key",
        key_prefix=b"",
        style="google",
        models=Tiers("gemini-2.5-flash-lite", "gemini-2.5-flash", "gemini-2.5-pro"),
    ),
    Kind(
        "composio",
        "COMPOSIO_API_KEY",
        "COMPOSIO_BASE_URL",
        "https://backend.composio.dev",
        version=b"",
        key_header=b"x-api-key",
        key_prefix=b"",
        style="composio",
    ),
)
PRESETS = (
    Kind(
        "groq",
        "GROQ_API_KEY",
        "GROQ_BASE_URL",
        "https://api.groq.com/openai/v1",
        models=Tiers("openai/gpt-oss-20b", "openai/gpt-oss-120b", "openai/gpt-oss-120b"),
    ),
    Kind(
        "mistral",
        "MISTRAL_API_KEY",
        "MISTRAL_BASE_URL",
        "https://api.mistral.ai/v1",
        asks_usage=False,  # it tells its usage unasked, and answers 422 to `stream_options`
        models=Tiers("mistral-small-latest", "mistral-medium-latest", "mistral-large-latest"),
    ),
    Kind(
        "deepseek",
        "DEEPSEEK_API_KEY",
        "DEEPSEEK_BASE_URL",
        "https://api.deepseek.com/v1",
        models=Tiers("deepseek-flash", "deepseek-v4-pro", "deepseek-v4-pro"),
    ),
    Kind(
        "xai",
        "XAI_API_KEY",
        "XAI_BASE_URL",
        "https://api.x.ai/v1",
        models=Tiers("grok-4.3", "grok-4.5", "grok-4.7"),
    ),
    Kind(
        "openrouter",
        "OPENROUTER_API_KEY",
        "OPENROUTER_BASE_URL",
        "https://openrouter.ai/api/v1",
        models=Tiers(
            "anthropic/claude-haiku-4.5", "anthropic/claude-sonnet-4.5", "anthropic/claude-opus-4.5"
        ),
    ),
    Kind(
        "together",
        "TOGETHER_API_KEY",
        "TOGETHER_BASE_URL",
        "https://api.together.xyz/v1",
        models=Tiers("openai/gpt-oss-20b", "openai/gpt-oss-120b", "openai/gpt-oss-120b"),
    ),
    Kind(
        "fireworks",
        "FIREWORKS_API_KEY",
        "FIREWORKS_BASE_URL",
        "https://api.fireworks.ai/inference/v1",
        models=Tiers(*["accounts/fireworks/models/gpt-oss-120b"] * 3),
    ),
    Kind(
        "cerebras",
        "CEREBRAS_API_KEY",
        "CEREBRAS_BASE_URL",
        "https://api.cerebras.ai/v1",
        models=Tiers(*["gpt-oss-120b"] * 3),
    ),
    # A deployment's or a served model's name is the customer's own, so these have no models of themselves.
    Kind(
        "azure",
        "AZURE_OPENAI_API_KEY",
        "AZURE_OPENAI_BASE_URL",
        None,
        key_header=b"api-key",
        key_prefix=b"",
    ),
    Kind("vllm", "VLLM_API_KEY", "VLLM_BASE_URL", None, key_optional=True),
    Kind("ollama", "OLLAMA_API_KEY", "OLLAMA_BASE_URL", None, key_optional=True),
)
EXAMPLES = {
    "azure": "https://NAME.openai.azure.com/openai/v1",
    "vllm": "http://10.0.0.5:8000/v1",
    "ollama": "http://127.0.0.1:11434/v1",
}
