"""Errors as each provider writes them, so that its SDK raises what it would have raised."""

from __future__ import annotations

import json
from typing import Any, Literal

Format = Literal["openai", "anthropic", "google", "composio", "plain"]

_ANTHROPIC = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}
_GOOGLE = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_OPENAI = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def error_body(style: Format, status: int, code: str, message: str) -> bytes:
    """Write an error body in a provider's style; ``plain`` is the cloud's own."""
    return json.dumps(_error(style, status, code, message)).encode()


def error_event(
    style: Format, code: str, message: str, *, responses: bool = False, status: int = 502
) -> bytes | None:
    """Write the event that makes a provider's SDK raise in the middle of a stream.

    ``responses`` is OpenAI's newer API. None for Google, whose SDK takes such an event for a last, empty
    answer: there only a cut connection raises.
    """
    if style == "openai" and responses:
        error = {"type": _OPENAI.get(status, "server_error"), "code": code, "message": message, "param": None}
        event = {**error, "type": "error", "sequence_number": 0, "error": error}
        return b"event: error\ndata: " + json.dumps(event).encode() + b"\n\n"
    if style == "openai":
        return b"data: " + error_body(style, status, code, message) + b"\n\n"
    if style == "anthropic":
        return b"event: error\ndata: " + error_body(style, status, code, message) + b"\n\n"
    return None


def _error(style: Format, status: int, code: str, message: str) -> dict[str, Any]:
    if style == "openai":
        kind = _OPENAI.get(status, "invalid_request_error" if status < 500 else "server_error")
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}
    if style == "anthropic":
        return {"type": "error", "error": {"type": _ANTHROPIC.get(status, "api_error"), "message": message}}
    if style == "google":
        return {"error": {"code": status, "message": message, "status": _GOOGLE.get(status, "UNKNOWN")}}
    if style == "composio":
        return {"error": {"message": message, "slug": code, "status": status, "code": status}}
    return {"error": message, "code": code}
