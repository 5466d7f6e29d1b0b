"""A provider for the benchmarks, as cheap as Python can be: JSON at once, or events at a steady pace.

``python -m benchmarks.upstream PORT [CERTIFICATE KEY]``. The field ``user`` of the body says what it does:

========================  ==============================================================================
``pace-MS-COUNT-NAME``    with ``"stream":true``: an event every MS milliseconds, COUNT in all (0: no end)
``status-CODE``           an error with that status
``drop``                  closes the connection without an answer
``cut``                   closes the connection in the middle of an answer
anything else             the JSON answer
========================  ==============================================================================

Each stream whose connection closes before its end is printed as ``closed NAME TIME`` (of CLOCK_MONOTONIC),
to measure how soon a client's leaving reaches here.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import time
from typing import cast

import uvloop

MODEL = "gpt-4o-mini"
_USAGE = {"prompt_tokens": 12, "completion_tokens": 90, "total_tokens": 102}
_CHOICE = {"index": 0, "message": {"role": "assistant", "content": "x" * 360}, "finish_reason": "stop"}
_ANSWER = {"id": "chatcmpl-0123456789", "object": "chat.completion", "created": 1, "model": MODEL}
_EVENT = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL}


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _chunk(data: bytes) -> bytes:
    event = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(event), event)


def _with_length(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


JSON = _compact({**_ANSWER, "choices": [_CHOICE], "usage": _USAGE})
ANSWER = _with_length(b"200 OK", JSON)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
# The words differ, for LiteLLM ends a stream that brings the same one a hundred times.
CHUNKS = [
    _chunk(
        _compact(
            {**_EVENT, "choices": [{"index": 0, "delta": {"content": f" w{at:03}"}, "finish_reason": None}]}
        )
    )
    for at in range(256)
]
LAST = _chunk(_compact({**_EVENT, "choices": [], "usage": _USAGE})) + _chunk(b"[DONE]") + b"0\r\n\r\n"
_USER = re.compile(rb'"user"\s*:\s*"([^"]*)"')
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


class Provider(asyncio.Protocol):
    """Answers one request after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._data = b""
        self._timer: asyncio.TimerHandle | None = None
        self._full = False

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end or not _whole(head, body):
            return
        self._data = b""
        named = _USER.search(body)
        how, _, rest = (named[1] if named else b"").partition(b"-")
        if how == b"status":
            message = _compact({"error": {"message": "as asked", "type": "server_error", "code": None}})
            self._transport.write(_with_length(rest + b" As asked", message))
        elif how == b"drop":
            self._transport.abort()
        elif how == b"cut":
            self._transport.write(ANSWER[:-100])
            self._transport.close()
        elif _STREAM.search(body):
            self._stream(rest.decode())
        else:
            self._transport.write(ANSWER)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio gives it
        if self._timer is not None:
            self._timer.cancel()
            print(f"closed {self._name} {time.monotonic():.6f}", flush=True)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False

    def _stream(self, asked: str) -> None:
        pace, count, self._name = asked.split("-")
        self._pace, self._left = int(pace) / 1000, int(count)
        self._transport.write(HEAD)
        self._next = asyncio.get_running_loop().time()
        self._tick()

    def _tick(self) -> None:
        """Send an event, or leave it out where the reader is behind."""
        if not self._full:
            self._transport.write(CHUNKS[self._left & 255])
            self._left -= 1
        if self._left == 0:
            self._timer = None
            self._transport.write(LAST)
            return
        self._next += self._pace
        self._timer = asyncio.get_running_loop().call_at(self._next, self._tick)


def _whole(head: bytes, body: bytes) -> bool:
    length = _LENGTH.search(head)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


async def _serve(port: int, certificate: list[str]) -> None:
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Provider, "127.0.0.1", port, backlog=4096, ssl=tls)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), sys.argv[2:]))
