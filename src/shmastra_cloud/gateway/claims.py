"""Finds the ids that an answer gives its user, and has them recorded before he sees them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping
    from uuid import UUID

    from shmastra_cloud.gateway.ownership import Ownership

    Message = MutableMapping[str, Any]
    Send = Callable[[Message], Awaitable[None]]

MAX_HELD_BYTES = 16 * 1024 * 1024
MAX_EVENT_BYTES = 1024 * 1024
# Events that may carry an id: a thing was made, or a container came up for a tool.
_MARKS = (b"response.created", b'"container"', b'"container_id"')


class Claim:
    """Watches one answer on its way to the client; ``send`` is where it goes."""

    def __init__(self, ownership: Ownership, provider: str, user_id: UUID, send: Send) -> None:
        self._ownership, self._provider, self._user_id, self._send = ownership, provider, user_id, send
        self._start: Message | None = None
        self._mode = "pass"
        self._held = bytearray()

    async def send(self, message: Message) -> None:
        """Pass a message on, once what it says is recorded; an answer in JSON is held until it is whole."""
        if message["type"] == "http.response.start":
            self._mode = _mode(message)
            if self._mode == "json":
                self._start = message
                return
        elif self._mode == "json":
            await self._json(message)
            return
        elif self._mode == "events":
            await self._events(message)
        await self._send(message)

    async def let_go(self) -> None:
        """Pass on what is held of an answer that broke off, so that the client sees that it did."""
        if self._start is not None:
            start, self._start = self._start, None
            await self._send(start)
            await self._send({"type": "http.response.body", "body": bytes(self._held), "more_body": True})

    async def _json(self, message: Message) -> None:
        self._held += message.get("body", b"")
        more = message.get("more_body", False)
        if more and len(self._held) <= MAX_HELD_BYTES:
            return
        if not more:
            await self._record(bytes(self._held))
        else:  # what is this long is a picture, whose id nobody asks for again
            self._mode = "pass"
        if self._start is not None:
            start, self._start = self._start, None
            await self._send(start)
        await self._send({"type": "http.response.body", "body": bytes(self._held), "more_body": more})

    async def _events(self, message: Message) -> None:
        """Look into the events that a mark stands in; what is cut in two is looked at with its other half."""
        data = message.get("body", b"")
        if not self._held and data.endswith(b"\n") and not any(mark in data for mark in _MARKS):
            return
        self._held += data
        whole, _, rest = self._held.rpartition(b"\n")
        self._held = bytearray(rest[-MAX_EVENT_BYTES:])
        for line in whole.split(b"\n"):
            if line.startswith(b"data:") and any(mark in line for mark in _MARKS):
                await self._record(bytes(line[5:]))

    async def _record(self, data: bytes) -> None:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return  # no SDK reads an id out of it either
        await self._ownership.claim(self._provider, dict.fromkeys(ids_in(value)), self._user_id)


def ids_in(value: Any) -> Iterator[str]:
    """Return the ids that an answer or an event gives its user; never from what he may have said himself."""
    if not isinstance(value, dict):
        return
    if _is_made(value):
        made = value.get("id", value.get("name"))  # Google names things by their path
        if isinstance(made, str):
            yield made
    for name in ("response", "file", "message", "delta", "item"):
        if isinstance(value.get(name), dict) and (name != "delta" or "container" in value["delta"]):
            yield from ids_in(value[name])
    if isinstance(value.get("session_id"), str):  # of Composio's
        yield value["session_id"]
    container = value.get("container")
    if isinstance(container, dict) and isinstance(container.get("id"), str):
        yield container["id"]
    if isinstance(value.get("container_id"), str):
        yield value["container_id"]
    for item in value["output"] if isinstance(value.get("output"), list) else ():
        yield from ids_in(item)


def _is_made(value: dict[str, Any]) -> bool:
    """Tell a thing that is kept from one part of an answer, such as a message, which has an id too."""
    if "object" in value or value.get("type") in {"file", "container", "skill"}:
        return True
    return isinstance(value.get("name"), str) and "/" in value["name"]


def _mode(start: Message) -> str:
    if not 200 <= start["status"] < 300:
        return "pass"
    kind = dict(start["headers"]).get(b"content-type", b"").lower()
    if kind.startswith(b"text/event-stream"):
        return "events"
    return "json" if kind.startswith(b"application/json") else "pass"
