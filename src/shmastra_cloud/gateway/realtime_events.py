"""OpenAI's realtime API as far as the gateway must know it: what a handshake and a client's event may say.

The events are those of the official SDK, ``openai.types.realtime``.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, Any

from shmastra_cloud.gateway.credentials import pairs
from shmastra_cloud.gateway.errors import InvalidKey, RefusedRequest, RouteRefused
from shmastra_cloud.gateway.formats import error_body

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shmastra_cloud.gateway.errors import GatewayError

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@~-]{0,199}")
_SUBPROTOCOL = re.compile(r"realtime|openai-beta\.[a-z0-9.-]{1,64}")
# Names that only an escape could hide, so that what holds none of this need not be parsed: audio never does.
_WATCHED = ("\\u", '"model"', '"prompt"', '"tunnel_id"', '"file_id"')
# What users define themselves, whose names mean nothing.
_FREE = frozenset(("parameters", "metadata", "variables"))


def model_of(query: bytes) -> str:
    """Return the model that a connection is for: the one thing that its address may say beside the key.

    ``call_id`` would join any call of the account; with ``intent=transcription`` the model is chosen later.

    Raises:
        RefusedRequest: there is no model, or it is not one name.
        RouteRefused: the address asks for something else.
    """
    asked = [(name, value) for name, value, _ in pairs(query) if name != b"key"]
    others = sorted({name.decode("ascii", "replace") for name, _ in asked if name != b"model"})
    if others:
        raise RouteRefused(f"A realtime connection names a model only; {', '.join(others)} is not relayed.")
    models = [value.decode("ascii", "replace") for _, value in asked]
    if len(models) != 1 or not _MODEL.fullmatch(models[0]):
        raise RefusedRequest("Name one model in the address: /realtime?model=...")
    return models[0]


def offered(subprotocols: Iterable[str]) -> list[str]:
    """Return which of the client's subprotocols the provider is offered.

    Raises:
        InvalidKey: there is a key among them, which is no place for one.
    """
    names = list(subprotocols)
    if any(name.startswith("openai-insecure-api-key") for name in names):
        raise InvalidKey("A key in Sec-WebSocket-Protocol is not taken; send it in Authorization.")
    return [name for name in names if _SUBPROTOCOL.fullmatch(name)]


def other_models(message: str | bytes, model: str) -> list[str]:
    """Return which models a client's event asks for beside the connection's own: those of transcriptions.

    Raises:
        RefusedRequest: it asks for another model of the connection, or can be read in two ways.
        RouteRefused: it names what belongs to the account.
    """
    text = message if isinstance(message, str) else _text(message)
    if not any(word in text for word in _WATCHED):
        return []
    try:
        event = json.loads(text, object_pairs_hook=_once)
        found = list(_models(event, ()))
    except (ValueError, RecursionError) as error:
        raise RefusedRequest("The event is not JSON that can be read in one way.") from error
    names = []
    for path, name in found:
        if path in (("session",), ("response",)):
            if name != model:
                raise RefusedRequest("A connection keeps its model; open another one for another model.")
        elif not _MODEL.fullmatch(name):
            raise RefusedRequest("The event names a model that is none.")
        elif name != model:
            names.append(name)
    return names


def error_event(error: GatewayError) -> str:
    """Write an error as an event."""
    body = json.loads(error_body("openai", error.status, error.code, str(error)))
    event = {"type": "error", "event_id": f"event_{secrets.token_hex(10)}", **body}
    event["error"]["event_id"] = None
    return json.dumps(event)


def _text(message: bytes) -> str:
    """Read a binary message as whoever takes it for JSON would; what is no text is no event."""
    try:
        return message.decode(json.detect_encoding(message))
    except UnicodeDecodeError:
        return ""


def _once(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(fields)
    if len(found) != len(fields):
        raise ValueError("a name stands there twice")
    return found


def _models(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield where each model is named."""
    if isinstance(value, list):
        for one in value:
            yield from _models(one, path)
    if not isinstance(value, dict):
        return
    for name, inner in value.items():
        shared = name in ("tunnel_id", "file_id") or (name == "prompt" and isinstance(inner, dict))
        if shared and inner is not None:
            raise RouteRefused(f"{name} names what is the account's, and is not relayed.")
        if name == "model" and isinstance(inner, str):
            yield path, inner
        elif name not in _FREE:
            yield from _models(inner, (*path, name))
