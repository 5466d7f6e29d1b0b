"""The load on a server under measurement: requests by wrk, streams and single requests by plain sockets."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from benchmarks.machine import LOAD_CORE
from benchmarks.stage import Server
from benchmarks.upstream import MODEL

_MESSAGES = [{"role": "user", "content": "x" * 200}]
_LUA = """
local made, at = {{}}, 0
init = function()
  for key in io.lines("{keys}") do
    local headers = {{ {headers} }}
    headers["Content-Type"] = "application/json"
    headers["Authorization"] = "Bearer " .. key
    made[#made + 1] = wrk.format("POST", "{path}", headers, '{body}')
  end
end
request = function()
  at = at % #made + 1
  return made[at]
end
"""
_SETTLE_SECONDS = 1
_OPEN_SECONDS = 90


@dataclass(frozen=True)
class Run:
    """What wrk saw: answers with 200, answers with anything else, and answers a second."""

    count: int
    failed: int
    a_second: float


def body(user: str = "", *, stream: bool = False) -> str:
    """Write a chat completion's request; ``user`` tells the provider what to do."""
    asked: dict[str, object] = {"model": MODEL, "messages": _MESSAGES}
    asked |= {"user": user} if user else {}
    return json.dumps(asked | ({"stream": True} if stream else {}), separators=(",", ":"))


def requests(server: Server, folder: Path, *, connections: int, seconds: int, core: int = LOAD_CORE) -> Run:
    """Send requests as fast as they are answered."""
    return finished(begun(server, folder, connections=connections, seconds=seconds, core=core))


def begun(
    server: Server, folder: Path, *, connections: int, seconds: int, core: int
) -> subprocess.Popen[str]:
    """Start what :func:`finished` waits for."""
    keys, script = folder / f"{server.name}.keys", folder / f"{server.name}.lua"
    keys.write_text("\n".join(server.keys) + "\n")
    headers = ", ".join('["{}"] = "{}"'.format(*line.split(": ", 1)) for line in server.headers)
    script.write_text(_LUA.format(keys=keys, path=server.path, headers=headers, body=body()))
    argv = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
    argv += ["-s", str(script), f"http://127.0.0.1:{server.port}"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(wrk: subprocess.Popen[str]) -> Run:
    """Return what it saw.

    Raises:
        ConnectionError: there was nobody to ask.
    """
    said = wrk.communicate(timeout=300)[0]
    count = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if wrk.returncode or count is None or rate is None:
        raise ConnectionError(f"wrk failed: {said}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    failed = int(refused[1]) if refused else 0
    failed += sum(int(number) for number in broken.groups()) if broken else 0
    return Run(int(count[1]) - failed, failed, float(rate[1]))


def times_ms(server: Server, count: int) -> list[float]:
    """Return how long one request after the other took on one connection, without the first tenth.

    Raises:
        AssertionError: one was not answered with 200.
    """
    data = head(server, server.keys[0], body())
    found = []
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = server.tls.wrap_socket(plain, server_hostname="localhost") if server.tls else plain
        for _ in range(count):
            at = time.perf_counter()
            client.sendall(data)
            answer = client.recv(65536)
            while not whole(answer):
                answer += client.recv(65536)
            found.append(time.perf_counter() - at)
            assert answer.startswith(b"HTTP/1.1 200"), answer
    return [seconds * 1000 for seconds in found[count // 10 :]]


def whole(answer: bytes) -> bool:
    """Tell whether all of an answer is here."""
    first, end, rest = answer.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length:\s*(\d+)", first, re.IGNORECASE)
    return bool(end) and (len(rest) >= int(length[1]) if length else rest.endswith(b"0\r\n\r\n"))


def head(server: Server, key: str, text: str) -> bytes:
    """Write a request."""
    lines = [f"POST {server.path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {key}"]
    lines += [*server.headers, "Content-Type: application/json", f"Content-Length: {len(text)}", "", text]
    return "\r\n".join(lines).encode()


class Reader(asyncio.Protocol):
    """Counts the events of one stream."""

    def __init__(self, data: bytes) -> None:
        self._data, self.events = data, 0
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._data)

    def data_received(self, data: bytes) -> None:
        self.events += data.count(b"data: ")
        if self.events and not self.begun.done():
            self.begun.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.begun.done():
            self.begun.set_exception(exc or ConnectionResetError("closed before the first event"))


@asynccontextmanager
async def streams(server: Server, count: int, pace: int) -> AsyncIterator[list[Reader]]:
    """Open streams that bring an event every ``pace`` ms; all have begun when this enters.

    Raises:
        TimeoutError: they do not begin in time.
        OSError: one was closed before its first event.
    """
    readers: list[Reader] = []
    try:
        end = time.monotonic() + _OPEN_SECONDS
        async with asyncio.timeout(_OPEN_SECONDS + 10):
            for at in range(count):
                if time.monotonic() > end:
                    raise TimeoutError(f"{at} of {count} streams had begun after {_OPEN_SECONDS} s")
                readers.append(await opened(server, at, f"pace-{pace}-0-{server.name}{at}"))
        yield readers
    finally:
        for reader in readers:
            reader.transport.abort()
        await asyncio.sleep(_SETTLE_SECONDS)


async def opened(server: Server, at: int, user: str) -> Reader:
    """Return a stream that has begun."""
    data = head(server, server.keys[at % len(server.keys)], body(user, stream=True))
    loop = asyncio.get_running_loop()
    reader = (await loop.create_connection(lambda: Reader(data), "127.0.0.1", server.port))[1]
    try:
        await reader.begun
    except BaseException:
        reader.transport.abort()
        raise
    return reader


async def close_ms(server: Server, at: int, log: Path, seconds: float) -> float | None:
    """Leave a stream; return how long the provider's connection stood then, None if longer than asked."""
    name = f"leave{server.name}{at}"
    reader = await opened(server, at, f"pace-5-0-{name}")
    size = log.stat().st_size
    left = time.monotonic()
    reader.transport.abort()
    while time.monotonic() < left + seconds:
        await asyncio.sleep(0.001)
        with log.open() as lines:
            lines.seek(size)
            closed = re.search(rf"closed {name} ([\d.]+)\n", lines.read())
        if closed:
            return (float(closed[1]) - left) * 1000
    return None
