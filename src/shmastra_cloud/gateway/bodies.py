"""What must be known of a request's body before it is sent on, and what is changed in it."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shmastra_cloud.gateway.asked import NOTHING_SPECIAL, Asked, asked_of
from shmastra_cloud.gateway.errors import RefusedRequest, RouteRefused, TooLarge
from shmastra_cloud.gateway.strict import parse, suspicious

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from shmastra_cloud.gateway.routes import Route

    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MAX_READ_BYTES = 8 * 1024 * 1024
MAX_MODEL_CHARACTERS = 200
_FORM_MODEL = re.compile(rb'name="?model"?\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]{1,200})\r\n')
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_PEEK_BYTES = 64 * 1024


@dataclass
class Body:
    """A request's body: ``data`` is what was read of it, ``whole`` whether that is all.

    ``fields`` is the JSON object that it is, empty for a form; ``careful``: it was read as one that may name
    something at the provider, and names no field twice. ``accounts`` are those at Composio that it names.
    """

    data: bytes
    whole: bool
    gone: bool = False
    model: str | None = None
    adds_usage: bool = False
    careful: bool = False
    fields: dict[str, Any] = field(default_factory=dict)
    accounts: tuple[str, ...] = ()
    asked: Asked = NOTHING_SPECIAL


async def read_body(receive: Receive, seconds: float, limit: int = MAX_READ_BYTES) -> Body:
    """Read a body up to a limit; what did not come in one piece has to come within a time.

    Raises:
        TimeoutError: it did not.

    """
    first = await receive()
    if first["type"] == "http.request" and not first.get("more_body", False):
        return Body(first.get("body", b""), whole=True)
    async with asyncio.timeout(seconds):
        return await _read_on(first, receive, limit)


async def _read_on(message: MutableMapping[str, Any], receive: Receive, limit: int) -> Body:
    pieces: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            return Body(b"", whole=False, gone=True)
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if not message.get("more_body", False):
            return Body(b"".join(pieces), whole=True)
        if size > limit:
            return Body(b"".join(pieces), whole=False)
        message = await receive()


def replay(body: Body, receive: Receive) -> Receive:
    """Return a ``receive`` that gives what was read before it goes on reading."""
    given = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body.data, "more_body": not body.whole}

    return again


def inspect(body: Body, route: Route, content_type: bytes, *, careful: bool = False) -> None:
    """Note the model, ask for the usage of a stream, and hold what a body may say.

    ``careful``: read it as strictly as one that names something at the provider.

    Raises:
        RefusedRequest: the body is not what the route takes.
        TooLarge: it is JSON and too long to be read.
        RouteRefused: it asks for what would escape its owner or the meter.

    """
    if content_type.startswith(b"multipart/") and route.forms:
        found = _FORM_MODEL.search(body.data[:_PEEK_BYTES]) or _FORM_MODEL.search(body.data[-_PEEK_BYTES:])
        body.model = _storable(found[1].decode("utf-8", "replace")) if found else None
        return
    if route.bare and body.whole and not body.data:
        return
    if content_type.startswith((b"multipart/", b"application/x-www-form-urlencoded")):
        raise RefusedRequest("This route takes JSON: send Content-Type: application/json.")
    if not body.whole:
        raise TooLarge("A JSON body may hold 8 MB at most.")
    body.careful = careful or suspicious(body.data)
    asked = body.fields = parse(body.data, strict=body.careful)
    if body.careful and _in_background(asked, route):
        raise RouteRefused("Background responses cannot be metered; ask for the answer itself.")
    model = asked.get("model")
    body.model = _storable(model) if isinstance(model, str) else None
    body.asked = asked_of(asked)
    if route.asks_usage and asked.get("stream") is True:
        _ask_for_usage(body, asked)


def _in_background(asked: dict[str, Any], route: Route) -> bool:
    """Tell whether an answer is to be made in the background; a picture's background is another thing."""
    found = [value for name, value in asked.items() if name.casefold() == "background"]
    return any(value is True or (route.responses and bool(value)) for value in found)


def _storable(model: str) -> str:
    """Return a model's name without what a database takes for no text."""
    return _CONTROL.sub("\ufffd", model[:MAX_MODEL_CHARACTERS])


def _ask_for_usage(body: Body, asked: dict[str, Any]) -> None:
    options = asked.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage") is True:
        return
    body.adds_usage = True
    if "stream_options" not in asked:
        start = body.data.index(b"{") + 1
        body.data = body.data[:start] + b'"stream_options":{"include_usage":true},' + body.data[start:]
        return
    asked["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    body.data = json.dumps(asked).encode()
