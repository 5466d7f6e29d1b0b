"""What is refused at the edge of a web process, before any route: foreign names and pages, long bodies."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from httprelay import safe_path
from shmastra_cloud.origins import header_map, is_foreign, is_same_origin

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from shmastra_cloud.web_process import Asgi, Receive, Scope, Send

PROBES = ("/health", "/ready", "/metrics")
KNOWN_HOSTS = 64
BODY_BYTES = 64 * 1024


class OwnHost:
    """Refuses a request under a name that is not the cloud's, such as one that was re-bound to its address.

    An address instead of a name cannot be re-bound. Probes ask under whatever name they have.
    """

    def __init__(self, app: Asgi, urls: Iterable[str]) -> None:
        self._app = app
        self._names = {urlsplit(url).hostname for url in urls} | {"localhost"}
        self._known: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] in ("http", "websocket") and scope["path"] not in PROBES:
            host = b""
            for name, value in scope["headers"]:
                if name == b"host":
                    host = value
                    break
            if host not in self._known and not self._is_ours(host):
                text = "The cloud has another name; set SHMASTRA_PUBLIC_URL to the address that browsers use."
                return await send_json(send, 421, {"error": text, "code": "wrong_host"}, scope["type"])
        return await self._app(scope, receive, send)

    def _is_ours(self, host: bytes) -> bool:
        name = urlsplit("//" + host.decode("latin-1").lower()).hostname
        ours = name in self._names or _is_address(name or "")
        if ours and len(self._known) < KNOWN_HOSTS:
            self._known.add(host)
        return ours


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class SameOrigin:
    """Refuses what no page of this origin asked for, and paths that could be read in two ways.

    The healer's route knows no cookie, nor do ``hooks``, which others than browsers post to. With
    ``programs``, neither does a request with an ``Authorization``, which no page sends by itself.
    """

    def __init__(
        self, app: Asgi, public_url: str, hooks: Iterable[str] = (), *, programs: bool = False
    ) -> None:
        self._app, self._public_url, self._programs = app, public_url, programs
        self._elsewhere = {"/api/sandbox/heal", *hooks}

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        if not safe_path(scope["raw_path"]):
            return 400, "bad_path", "This path could be read in two ways."
        if scope["path"] in self._elsewhere:
            return None
        headers = header_map(scope["headers"])
        if self._programs and "authorization" in headers:
            return None
        allowed = is_same_origin(scope["method"], headers, self._public_url)
        if scope["path"].startswith("/api/"):
            allowed = allowed and not is_foreign(headers, self._public_url)
        return (
            None
            if allowed
            else (403, "cross_origin", "This request does not come from a page of this cloud.")
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is not None:
            status, code, text = refusal
            return await send_json(send, status, {"error": text, "code": code})
        return await self._app(scope, receive, send)


class SmallBodies:
    """Answers 413 to a body that no route of ours has a use for, before it is in memory."""

    def __init__(self, app: Asgi, limit: int = BODY_BYTES) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on with its body read."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD"}:
            return await self._app(scope, receive, send)
        pieces: list[bytes] = []
        left, more = self._limit, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            pieces.append(message.get("body", b""))
            left -= len(pieces[-1])
            more = message.get("more_body", False)
            if left < 0:
                text = f"A body may hold {self._limit} bytes here."
                return await send_json(send, 413, {"error": text, "code": "too_large"}, close=True)
        body = [{"type": "http.request", "body": b"".join(pieces)}]

        async def read() -> MutableMapping[str, Any]:
            return body.pop() if body else await receive()

        return await self._app(scope, read, send)


async def send_json(
    send: Send, status: int, value: dict[str, str], kind: str = "http", *, close: bool = False
) -> None:
    """Answer a request, or one for a WebSocket (``kind`` is the scope's), with a small JSON object."""
    body = json.dumps(value).encode()
    answer = "websocket.http.response" if kind == "websocket" else "http.response"
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": f"{answer}.start", "status": status, "headers": headers})
    await send({"type": f"{answer}.body", "body": body})
