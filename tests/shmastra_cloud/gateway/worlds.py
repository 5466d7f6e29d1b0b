"""A gateway in front of a provider whose answers a test decides, over real sockets."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from tests.shmastra_cloud.workspaces.test_relay import serving

from httprelay import Timeouts
from shmastra_cloud.gateway import (
    Gateway,
    KeyCache,
    KeyOwner,
    OwnedId,
    Ownership,
    UsageRow,
    chosen_models,
    providers_from_env,
)
from shmastra_cloud.identity import key_hash, new_virtual_key

USER = uuid.uuid4()
KEY = new_virtual_key(USER)
MINE = {"authorization": f"Bearer {KEY}"}


@dataclass
class Asked:
    """A request as it reached the provider; ``key`` is the real one that it carried."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass
class Says:
    """What a provider answers."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"


@dataclass
class Scripted:
    """Answers as ``script`` decides, and remembers what it was asked."""

    script: Callable[[Asked], Says | Awaitable[Says]] = lambda _: Says()
    asked: list[Asked] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append(Asked(scope["method"], scope["path"], headers, body))
        said = self.script(self.asked[-1])
        answer = said if isinstance(said, Says) else await said
        lines = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        lines.append((b"content-type", b"application/json"))
        await send({"type": "http.response.start", "status": answer.status, "headers": lines})
        await send({"type": "http.response.body", "body": answer.body})


@dataclass
class World:
    """A running gateway: ``url`` ends in ``/api/gateway``, ``rows`` are what it metered."""

    url: str
    http: httpx.AsyncClient
    gateway: Gateway
    rows: list[UsageRow]

    async def row(self) -> UsageRow:
        """Return the next row."""
        async with asyncio.timeout(5):
            while not self.rows:
                await asyncio.sleep(0.01)
        return self.rows.pop(0)

    async def ask(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Send a request with the virtual key: a POST where there is a body."""
        method = "GET" if body is None else "POST"
        return await self.http.request(method, f"{self.url}/{path}", headers=MINE, json=body, **more)


class _Keys:
    async def lookup(self, digest: bytes) -> KeyOwner | None:
        return KeyOwner(USER) if digest == key_hash(KEY) else None


class NoDatabase:
    """Keeps no ids but those in the process's memory."""

    async def write(self, rows: Sequence[OwnedId]) -> None: ...

    async def owner(self, provider: str, name: str) -> uuid.UUID | None: ...

    async def prune(self) -> None: ...


class _Rows(list[UsageRow]):
    def record(self, row: UsageRow) -> None:
        self.append(row)


@asynccontextmanager
async def gateway(environ: Mapping[str, str], timeouts: Timeouts | None = None) -> AsyncIterator[World]:
    """Run a gateway with these settings."""
    providers, rows = providers_from_env(environ), _Rows()
    ownership = Ownership(NoDatabase(), again_seconds=0.01)
    writing = asyncio.create_task(ownership.run())
    made = Gateway(
        providers,
        KeyCache(_Keys()),
        rows,
        lambda _user: None,
        models=chosen_models(environ, providers),
        ownership=ownership,
        timeouts=timeouts or Timeouts(first_byte=5),
    )
    async with serving(made) as url, httpx.AsyncClient() as http:
        try:
            yield World(f"{url}/api/gateway", http, made, rows)
        finally:
            await made.aclose()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)


@asynccontextmanager
async def openai_by(provider: Any, keys: str = "a", **environ: str) -> AsyncIterator[World]:
    """Run a gateway whose provider ``openai`` is this ASGI app."""
    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(serving(provider))
        settings = {"OPENAI_BASE_URL": f"{there}/v1", "OPENAI_API_KEY": keys, **environ}
        yield await stack.enter_async_context(gateway(settings))
