"""What a web process is made of, whichever parts it serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shmastra_cloud.draining import Draining

if TYPE_CHECKING:
    import asyncio

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

GATEWAY = "/api/gateway/"
MASTRA = "/api/mastra/"
MANAGE = "/api/manage/"


@dataclass
class Cloud:
    """One web process: its applications by the socket they are served on, its tasks, how it is closed.

    ``protocols`` names the sockets that another protocol than the usual one is spoken on. ``draining`` tells
    that it is about to end, and ``cutting`` ends what has not come to its end by itself.
    """

    apps: dict[str, Asgi]
    background: list[Coroutine[Any, Any, None]]
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    protocols: dict[str, type[asyncio.Protocol]] = field(default_factory=dict)
    draining: Draining = field(default_factory=Draining)
    cutting: list[Callable[[], None]] = field(default_factory=list)

    async def aclose(self) -> None:
        """Close what was opened, the latest first."""
        for close in reversed(self.closing):
            await close()


class Dispatch:
    """Chooses by the path's prefix, without a framework on the way of what is relayed."""

    def __init__(self, prefixes: dict[str, Asgi], rest: Asgi) -> None:
        self._prefixes, self._rest = prefixes, rest
        self._by_bytes = [(prefix.encode("ascii"), app) for prefix, app in prefixes.items()]

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Return what answers a request, to be awaited."""
        if scope["type"] == "websocket":  # the server lets these through for the gateway only
            return self._prefixes[GATEWAY](scope, receive, send)
        if scope["type"] == "http":
            raw = scope["raw_path"]
            for prefix, app in self._by_bytes:
                if raw.startswith(prefix):
                    return app(scope, receive, send)
        return self._rest(scope, receive, send)
