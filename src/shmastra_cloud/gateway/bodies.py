"""What must be known of a request's body before it is sent on, and what is changed in it."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shmastra_cloud.gateway.asked import NOTHING_SPECIAL, Asked, asked_of
from shmastra_cloud.gateway.errors import RefusedRequest, RouteRefused, TooLarge

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
    """A request's body: ``data`` is what was read, ``whole`` whether that is all, ``parsed`` its JSON."""

    data: bytes
    whole: bool
    gone: bool = False
    model: str | None = None
    adds_usage: bool = False
    asked: Asked = NOTHING_SPECIAL
    parsed: dict[str, Any] | None = None


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


def inspect(body: Body, route: Route, content_type: bytes, owner: str) -> None:
    """Note the model, ask for the usage of a stream, and hold what a body may say.

    Raises:
        RefusedRequest: the body is not what the route takes.
        TooLarge: it is JSON and too long to be read.
        RouteRefused: it asks for what would escape its owner or the meter.

    """
    if content_type.startswith(b"multipart/"):
        found = _FORM_MODEL.search(body.data[:_PEEK_BYTES]) or _FORM_MODEL.search(body.data[-_PEEK_BYTES:])
        body.model = _storable(found[1].decode("utf-8", "replace")) if found else None
        return
    if route.bare and body.whole and not body.data:
        return
    if not body.whole:
        raise TooLarge("A JSON body may hold 8 MB at most.")
    try:
        asked = json.loads(body.data.decode())  # bytes would be taken for UTF-16 where they look like it
    except (ValueError, RecursionError) as error:
        raise RefusedRequest("The body is not valid JSON.") from error
    if not isinstance(asked, dict):
        raise RefusedRequest("The body must be a JSON object.")
    if route.owned:
        _check_owner(asked, owner)
        body.data = json.dumps(asked).encode()  # of two fields of one name, the one that was checked
    if asked.get("background"):
        raise RouteRefused("Background responses cannot be metered; ask for the answer itself.")
    model = asked.get("model")
    body.model = _storable(model) if isinstance(model, str) else None
    body.asked, body.parsed = asked_of(asked), asked
    if route.asks_usage and asked.get("stream") is True:
        _ask_for_usage(body, asked)


def _storable(model: str) -> str:
    """Return a model's name without what a database takes for no text."""
    return _CONTROL.sub("\ufffd", model[:MAX_MODEL_CHARACTERS])


def _check_owner(asked: dict[str, Any], owner: str) -> None:
    others = [name for name in ("connected_account_id", "entity_id", "custom_auth_params") if asked.get(name)]
    if others or asked.get("user_id") != owner:
        raise RouteRefused(
            f"Tools run only with user_id {owner}, and without {', '.join(others) or 'another'}."
        )


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
