"""What a call's span says, under the names of OpenTelemetry's semantic conventions for generative AI.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ has them; the rest is under ``shmastra.``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shmastra_cloud.telemetry.messages import answered, asked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shmastra_cloud.gateway import UsageRow
    from shmastra_cloud.telemetry.seen import Seen

Value = str | int | float | bool | list[str]

MODEL_CHARACTERS = 200
# The conventions' own names where they differ from ours.
PROVIDERS = {
    "google": "gcp.gemini",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
    "azure": "azure.ai.openai",
}
_OPERATIONS = (
    ("chat", re.compile(rb"/chat/completions$|/responses$|/messages$")),
    ("generate_content", re.compile(rb":(?:stream)?[gG]enerateContent$")),
    ("embeddings", re.compile(rb"/embeddings$|:(?:batchE|e)mbedContents?$")),
    ("text_completion", re.compile(rb"/completions$")),
    ("count_tokens", re.compile(rb"[/:]count_?[tT]okens$")),
    ("image_generation", re.compile(rb"/images/[a-z]+$")),
    ("speech", re.compile(rb"/audio/speech$")),
    ("transcription", re.compile(rb"/audio/(?:transcriptions|translations)$")),
    ("realtime", re.compile(rb"/realtime$")),
    ("execute_tool", re.compile(rb"/tools/execute/[^/]+$")),
    ("models", re.compile(rb"/models(?:/[^/]+)?$")),
)
# Within a string of JSON every quotation mark has a backslash before it, so none of these matches content.
_ID = re.compile(rb'(?<!\\)"(?:id|responseId)"\s*:\s*"([^"\\]{1,200})"')
_MODEL = re.compile(rb'(?<!\\)"(?:model|modelVersion)"\s*:\s*"([^"\\]{1,200})"')
_REASON = re.compile(rb'(?<!\\)"(?:finish_reason|stop_reason|finishReason)"\s*:\s*"([^"\\]{1,60})"')


def operation(path: bytes) -> str:
    """Return what a path asks for, in one of a few words."""
    return next((name for name, pattern in _OPERATIONS if pattern.search(path)), "other")


def span_name(row: UsageRow, path: bytes) -> str:
    """Return a span's name: what is done, and by which model."""
    return f"{operation(path)} {_model(row) or ''}".rstrip()


def _model(row: UsageRow) -> str | None:
    """Return the model as the client named it; one character that is none would cost a batch of spans."""
    return row.model and row.model[:MODEL_CHARACTERS].encode("utf-8", "replace").decode()


def failure(row: UsageRow) -> str | None:
    """Return what went wrong, in a word; a client that left of itself is no failure."""
    if row.ended == "client_gone":
        return None
    if row.status >= 400:
        return str(row.status)
    return None if row.ended == "complete" else row.ended


def attributes(row: UsageRow, seen: Seen | None, place: tuple[str, int] | None) -> dict[str, Value]:
    """Return a call's attributes; ``place`` is where its provider listens."""
    provider = PROVIDERS.get(row.provider, row.provider)
    found: dict[str, Value] = {
        "gen_ai.operation.name": operation(seen.path if seen else b""),
        "gen_ai.provider.name": provider,
        "gen_ai.system": provider,  # the name of before, which many still look for
        "http.response.status_code": row.status,
        "shmastra.user.id": str(row.user_id),
        "shmastra.purpose": row.purpose,
        "shmastra.ended": row.ended,
        **_usage(row),
    }
    model = _model(row)
    if model is not None:
        found["gen_ai.request.model"] = model
    if place is not None:
        found["server.address"], found["server.port"] = place
    if row.ttfb_ms is not None:
        found["gen_ai.response.time_to_first_chunk"] = row.ttfb_ms / 1000
    wrong = failure(row)
    if wrong is not None:
        found["error.type"] = wrong
    if seen is not None:
        found |= _told(seen)
    return found


def _usage(row: UsageRow) -> Mapping[str, Value]:
    if not (row.input_tokens or row.output_tokens):
        return {}
    found: dict[str, Value] = {
        "gen_ai.usage.input_tokens": row.input_tokens,
        "gen_ai.usage.output_tokens": row.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": row.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": row.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": row.reasoning_tokens,
        "shmastra.estimated": row.estimated,
    }
    if row.cost is not None:
        found["shmastra.cost_usd"] = float(row.cost)
    return found


def _told(seen: Seen) -> Mapping[str, Value]:
    """Return what the answer says of itself, and what was said where that is kept."""
    found: dict[str, Value] = {}
    head, tail = seen.head, seen.tail
    for name, pattern in (("gen_ai.response.id", _ID), ("gen_ai.response.model", _MODEL)):
        match = pattern.search(head)
        if match:
            found[name] = match[1].decode("utf-8", "replace")
    reasons = _REASON.findall(tail)
    if reasons:
        found["gen_ai.response.finish_reasons"] = [reasons[-1].decode("utf-8", "replace")]
    said = {
        "gen_ai.input.messages": asked(seen.question),
        "gen_ai.output.messages": answered(seen.answer),
    }
    return found | {name: messages for name, messages in said.items() if messages is not None}
