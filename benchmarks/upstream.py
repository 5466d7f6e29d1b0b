"""A provider for the benchmarks, as cheap as Python can be: JSON at once, or events at a steady pace.

``python -m benchmarks.upstream PORT`` serves; each connection that closes in the middle of a stream is
printed as ``closed TIME`` (of CLOCK_MONOTONIC), to measure how soon a client's leaving reaches here.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

_USAGE = {"prompt_tokens": 12, "completion_tokens": 90, "total_tokens": 102}
_CHOICE = {"index": 0, "message": {"role": "assistant", "content": "x" * 360}, "finish_reason": "stop"}
_ANSWER = {"id": "chatcmpl-0123456789", "object": "chat.completion", "created": 1, "model": "m"}
JSON = json.dumps({**_ANSWER, "choices": [_CHOICE], "usage": _USAGE}, separators=(",", ":")).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(JSON) + JSON
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_EVENT = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
_EVENT += b'"delta":{"content":" word"},"finish_reason":null}]}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(_EVENT), _EVENT)


class Provider(asyncio.Protocol):
    """Answers a request whose body asks for a stream with events every ``X-Pace`` milliseconds (10)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._data = b""
        self._timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._data = b""
        if b'"stream":true' in body:
            self._pace = _number(head, b"x-pace", 10) / 1000
            self._transport.write(HEAD)
            self._next = asyncio.get_running_loop().time()
            self._tick()
        else:
            self._transport.write(ANSWER)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio gives it
        if self._timer is not None:
            self._timer.cancel()
            print(f"closed {time.monotonic():.6f}", flush=True)

    def _tick(self) -> None:
        self._transport.write(CHUNK)
        self._next += self._pace
        self._timer = asyncio.get_running_loop().call_at(self._next, self._tick)


def _length(head: bytes) -> int:
    return _number(head, b"content-length", 0)


def _number(head: bytes, name: bytes, default: int) -> int:
    _, found, rest = head.lower().partition(b"\r\n" + name + b":")
    return int(rest.partition(b"\r\n")[0]) if found else default


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
