"""What a sandbox finds in its ``.env``: its own keys, and where the gateway is. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

# provider -> (variables that hold the virtual key, base URL variables, version segment the SDKs expect)
_PROVIDERS = {
    "openai": (("OPENAI_API_KEY",), ("OPENAI_BASE_URL",), "/v1"),
    "anthropic": (("ANTHROPIC_API_KEY",), ("ANTHROPIC_BASE_URL",), "/v1"),
    "google": (
        ("GOOGLE_GENERATIVE_AI_API_KEY",),
        ("GOOGLE_GENERATIVE_AI_BASE_URL", "GOOGLE_BASE_URL"),
        "/v1beta",
    ),
    "gemini": (("GEMINI_API_KEY",), ("GEMINI_BASE_URL",), "/v1beta"),
    "composio": (("COMPOSIO_API_KEY",), ("COMPOSIO_BASE_URL",), ""),
}


# What a further provider is called elsewhere: in Azure's own SDK, in Mastra's registry.
_ALSO = {"azure": ("azure-openai",), "together": ("togetherai",), "fireworks": ("fireworks-ai",)}


def env_file(
    *, user_id: UUID, virtual_key: str, mastra_token: str, gateway_url: str, further: Iterable[str] = ()
) -> str:
    """Return the text of a sandbox's ``.env``, ending in a newline.

    ``further`` are the providers with OpenAI's API beside those that every sandbox is told of: each gets a
    ``<NAME>_API_KEY`` and a ``<NAME>_BASE_URL``.
    """
    values = {
        "MASTRA_AUTH_TOKEN": mastra_token,
        "CLOUD_URL": gateway_url,
        "USER_ID": str(user_id),
        "MASTRA_API_PREFIX": "/api/mastra",
        "MASTRA_STUDIO_BASE_PATH": "/studio",
        "MASTRA_TELEMETRY_DISABLED": "1",
    }
    for provider, (keys, urls, version) in _PROVIDERS.items():
        values |= dict.fromkeys(keys, virtual_key)
        values |= dict.fromkeys(urls, f"{gateway_url}/api/gateway/{provider}{version}")
    for provider in further:
        for called in (provider, *_ALSO.get(provider, ())):
            prefix = called.upper().replace("-", "_")
            values[f"{prefix}_API_KEY"] = virtual_key
            values[f"{prefix}_BASE_URL"] = f"{gateway_url}/api/gateway/{provider}/v1"
    return "".join(f"{name}={value}\n" for name, value in values.items())
