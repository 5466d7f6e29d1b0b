"""The load on a server under measurement: requests by wrk, streams and single requests by plain sockets."""

from __future__ import annotations

import asyncio
import re
import socket
import statistics
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from benchmarks.stage import LOAD_CORE, Server

BODY = '{"model":"m","messages":[{"role":"user","content":"%s"}]}' % ("x" * 200)
STREAM = BODY[:-1] + ',"stream":true}'
_LUA = """
local keys = {{ {keys} }}
local at = 0
request = function()
  at = at % #keys + 1
  return wrk.format("POST", "{path}", {{["Authorization"] = "Bearer " .. keys[at],
    ["Content-Type"] = "application/json"}}, '{body}')
end
"""


def requests(
    server: Server, keys: list[str], folder: Path, *, connections: int, seconds: int
) -> tuple[int, float]:
    """Send requests as fast as they are answered; returns how many, and how many a second.

    Raises:
        SystemExit: any was not answered with 200.
    """
    script = folder / f"{server.name}.lua"
    quoted = ", ".join(f'"{key}"' for key in keys)
    script.write_text(_LUA.format(keys=quoted, path=server.path, body=BODY))
    argv = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    argv += ["-s", str(script), f"http://127.0.0.1:{server.port}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise SystemExit(f"{server.name} did not answer every request: {done.stdout}")
    count = re.search(r"(\d+) requests in", done.stdout)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert count is not None
    assert rate is not None
    return int(count[1]), float(rate[1])


def latency_p50_ms(server: Server, key: str, count: int) -> float:
    """Return the median time of one request after the other on one connection."""
    data = head(server, key, BODY)
    times = []
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            begun = time.perf_counter()
            client.sendall(data)
            answer = client.recv(65536)
            while not answer.endswith(b"}}"):
                answer += client.recv(65536)
            times.append(time.perf_counter() - begun)
    return statistics.median(times[count // 10 :]) * 1000


def head(server: Server, key: str, body: str, pace: int = 10) -> bytes:
    """Write a request."""
    lines = [f"POST {server.path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {key}"]
    lines += ["Content-Type: application/json", f"X-Pace: {pace}", f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


class Reader(asyncio.Protocol):
    """Counts the events of one stream."""

    def __init__(self, data: bytes) -> None:
        self._data, self.events = data, 0
        self.begun = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._data)

    def data_received(self, data: bytes) -> None:
        self.events += data.count(b"data: ")
        if not self.begun.done():
            assert data.startswith(b"HTTP/1.1 200"), data
            self.begun.set_result(None)


@asynccontextmanager
async def streams(server: Server, keys: list[str], count: int, pace: int) -> AsyncIterator[list[Reader]]:
    """Open streams, all of which have begun when this enters."""
    loop = asyncio.get_running_loop()
    readers: list[Reader] = []
    try:
        for at in range(count):
            data = head(server, keys[at % len(keys)], STREAM, pace)
            made = await loop.create_connection(lambda data=data: Reader(data), "127.0.0.1", server.port)  # type: ignore[misc]
            readers.append(made[1])
            await made[1].begun
        yield readers
    finally:
        for reader in readers:
            reader.transport.abort()
        await asyncio.sleep(0.5)
