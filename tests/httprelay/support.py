"""An upstream that answers with given bytes, and the relay in a real uvicorn before it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from httprelay import BoundedHttpProtocol

CONNECTIONS: dict[int, set[Any]] = {}
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_upstream(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def serving(app: Any, protocol: type[BoundedHttpProtocol] = BoundedHttpProtocol) -> AsyncIterator[int]:
    config = uvicorn.Config(app, http=protocol, ws="none", lifespan="off", log_level="critical")
    config.load()
    state = ServerState()

    def made() -> BoundedHttpProtocol:
        return protocol(config=config, server_state=state, app_state={})

    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    CONNECTIONS[port] = state.connections
    try:
        yield port
    finally:
        del CONNECTIONS[port]
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0.001)
        if state.tasks:  # those that wait for something else than their client
            await asyncio.wait(state.tasks, timeout=0.2)
        for task in list(state.tasks):
            task.cancel()
            await asyncio.wait([task], timeout=10)


async def exchange(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
