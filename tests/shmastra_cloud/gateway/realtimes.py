"""The gateway on a real socket before a stand-in for the realtime API."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import openai
import uvicorn
from tests.doubles.llm_provider import REAL_KEY
from tests.doubles.realtime import Realtime, realtime
from websockets.asyncio.client import ClientConnection, connect

from httprelay import Timeouts
from httprelay.websocket_server import SocketHttpProtocol
from shmastra_cloud.gateway import Gateway, KeyCache, KeyOwner, ModelRule, UsageRow, providers_from_env
from shmastra_cloud.identity import key_hash, new_virtual_key

USER = uuid.uuid4()
KEY = new_virtual_key(USER)
ORIGIN = "https://cloud.example"


class Sockets(SocketHttpProtocol):
    sockets = (b"/api/gateway/",)


class Keys:
    """Knows one key, until it is told to forget it."""

    known = True
    rule: ModelRule | None = None

    async def lookup(self, digest: bytes) -> KeyOwner | None:
        return KeyOwner(USER, self.rule) if self.known and digest == key_hash(KEY) else None


class Rows(list[UsageRow]):
    def record(self, row: UsageRow) -> None:
        self.append(row)


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[int]:
    config = uvicorn.Config(app, port=0, http=Sockets, ws="none", lifespan="off", log_level="critical")
    config.timeout_graceful_shutdown = 2
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


@dataclass
class World:
    port: int
    provider: Any
    rows: Rows
    keys: Keys
    cache: KeyCache
    active: list[uuid.UUID]

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/gateway/openai/v1"

    def sdk(self, **options: Any) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(api_key=KEY, base_url=self.base, **options)

    async def dial(
        self, query: str = "?model=gpt-realtime", path: str = "/openai/v1/realtime", **options: Any
    ) -> ClientConnection:
        headers = options.pop("headers", {"Authorization": f"Bearer {KEY}"})
        url = f"ws://127.0.0.1:{self.port}/api/gateway{path}{query}"
        return await connect(url, additional_headers=headers, proxy=None, max_size=None, **options)

    async def row(self, count: int = 1) -> UsageRow:
        async with asyncio.timeout(5):
            while len(self.rows) < count:
                await asyncio.sleep(0.01)
        return self.rows[count - 1]


Make = Callable[..., Awaitable[World]]


@asynccontextmanager
async def worlds() -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        async def build(double: Realtime | None = None, *, gate: Any = None, **environ: str) -> World:
            there = double or Realtime()
            url = await stack.enter_async_context(realtime(there))
            variables = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": REAL_KEY, **environ}
            idle = float(variables.pop("idle", "60"))
            rows, keys, active = Rows(), Keys(), []
            cache = KeyCache(keys)
            gateway = Gateway(
                providers_from_env(variables),
                cache,
                rows,
                active.append,
                timeouts=Timeouts(connect=2, first_byte=2, idle=idle),
                gate=gate,
                origins=[ORIGIN],
            )
            stack.push_async_callback(gateway.aclose)
            port = await stack.enter_async_context(serving(gateway))
            return World(port, there, rows, keys, cache, active)

        yield build
