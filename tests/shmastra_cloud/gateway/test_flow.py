"""What flows, and what stops: a slow reader holds the provider, a client that leaves is not worked for."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.shmastra_cloud.gateway.worlds import KEY, World, gateway

BODY = b'{"model":"m","messages":[],"stream":true}'
PIECE = b"data: " + b"x" * 16_000 + b"\n\n"
SOME_SECONDS = 0.3
MUCH = 32 * 1024 * 1024
# The relay's and the server's high-water marks are 64 KB each; what else is allocated meanwhile is noise.
GROWTH = 8 * 1024 * 1024


@dataclass
class Floods:
    """Sends as much as it is let, up to ``MUCH``; counts what the other side took."""

    kind: bytes
    sent: int = 0
    began: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        writer.transport.set_write_buffer_limits(high=0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % self.kind)
        self.began.set()
        try:
            while self.sent < MUCH:
                writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
                await writer.drain()
                self.sent += len(PIECE)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        except ConnectionError:
            self.gone.set()
        finally:
            writer.close()

    async def stands_still(self) -> int:
        """Return how much was taken, once nothing more is."""
        async with asyncio.timeout(10):
            while True:
                before = self.sent
                await asyncio.sleep(SOME_SECONDS)
                if self.sent == before:
                    return before


def resident() -> int:
    """Return the bytes that this process holds, the gateway among it; the kernel's buffers are not."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def over(provider: Floods) -> AsyncIterator[World]:
    server = await asyncio.start_server(provider, "127.0.0.1", 0)
    for listening in server.sockets:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    try:
        port = server.sockets[0].getsockname()[1]
        environ = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": "sk-a"}
        async with gateway(environ) as world:
            yield world
    finally:
        server.close()


async def asking(world: World) -> socket.socket:
    """Send a request over a socket that takes little in before it is read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.setblocking(False)
    host, port = world.url.removeprefix("http://").split("/")[0].split(":")
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, (host, int(port)))
    lines = ["POST /api/gateway/openai/v1/chat/completions HTTP/1.1", f"Host: {host}", f"x-api-key: {KEY}"]
    head = "\r\n".join([*lines, f"Content-Length: {len(BODY)}", "", ""]).encode()
    await loop.sock_sendall(client, head + BODY)
    return client


@pytest.mark.parametrize("kind", [b"application/json", b"text/event-stream"])
async def test_a_slow_reader_holds_the_provider_and_not_our_memory(kind: bytes) -> None:
    provider = Floods(kind)
    async with over(provider) as world:
        client = await asking(world)
        with client:
            await provider.began.wait()
            before = resident()
            taken = await provider.stands_still()
            assert 0 < taken < MUCH / 2
            assert resident() - before < GROWTH
            loop, last = asyncio.get_running_loop(), b""
            async with asyncio.timeout(30):
                while not last.endswith(b"\r\n0\r\n\r\n"):  # and goes on as fast as it is read
                    last = last[-16:] + await loop.sock_recv(client, 1 << 20)
        row = await world.row()
    assert provider.sent >= MUCH
    assert row.ended == "complete"


@pytest.mark.parametrize("kind", [b"application/json", b"text/event-stream"])
async def test_a_slow_reader_that_leaves_lets_the_provider_go(kind: bytes) -> None:
    provider = Floods(kind)
    async with over(provider) as world:
        client = await asking(world)
        await provider.began.wait()
        await provider.stands_still()
        client.close()
        async with asyncio.timeout(5):
            await provider.gone.wait()
        row = await world.row()
    assert row.ended == "client_gone"
    assert provider.sent < MUCH


async def test_a_client_that_left_while_the_provider_was_dialled_is_not_worked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.modules["shmastra_cloud.gateway.attempts"], "PAUSE_SECONDS", 0.4)
    provider = Floods(b"text/event-stream")
    reserve = await asyncio.start_server(provider, "127.0.0.1", 0)
    port = reserve.sockets[0].getsockname()[1]
    reserve.close()
    await reserve.wait_closed()
    environ = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": "sk-a"}
    async with gateway(environ) as world:
        client = await asking(world)
        await asyncio.sleep(0.05)  # refused once, and about to be tried again
        client.close()
        server = await asyncio.start_server(provider, "127.0.0.1", port)
        try:
            async with asyncio.timeout(5):
                await provider.began.wait()
                await provider.gone.wait()
            assert (await world.row()).ended == "client_gone"
        finally:
            server.close()
    assert provider.sent < MUCH
