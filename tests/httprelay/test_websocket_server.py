import asyncio
import contextlib
import json
import logging
import os
import struct
from typing import Any

import pytest
from tests.httprelay.support import CONNECTIONS, exchange, serving
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from httprelay.websocket_server import BoundedWebSocketProtocol, SocketBounds, SocketHttpProtocol

UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
HEAD = b"GET /ws/x HTTP/1.1\r\nHost: a\r\n" + UPGRADE + KEY
PLAIN = b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"


class Hurried(BoundedWebSocketProtocol):
    bounds = SocketBounds(message_bytes=100_000, fragments=10, write_seconds=0.5, close_seconds=0.3)


class Sockets(SocketHttpProtocol):
    sockets = (b"/ws/",)


class HurriedSockets(Sockets):
    protocol = Hurried


class App:
    """Echoes when it may; says no under `/ws/no`; remembers what it was asked and how it ended."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.ended: list[Any] = []
        self.taken = 0
        self.go = asyncio.Event()
        self.go.set()
        self.accept = asyncio.Event()
        self.accept.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
            return
        try:
            await self.socket(scope, receive, send)
        except OSError as error:
            self.ended.append(error)

    async def socket(self, scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        if scope["path"] == "/ws/no":
            start = {"type": "websocket.http.response.start", "status": 429, "headers": [(b"x-a", b"b")]}
            await send(start)
            await send({"type": "websocket.http.response.body", "body": b"too many"})
            return
        await self.accept.wait()
        await send({"type": "websocket.accept"})
        if scope["path"] == "/ws/flood":
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 65536})
        while True:
            await self.go.wait()
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.ended.append(message)
                return
            self.taken += 1
            await send({**message, "type": "websocket.send"})

    async def end(self) -> Any:
        async with asyncio.timeout(5):
            while not self.ended:
                await asyncio.sleep(0.01)
        return self.ended[0]


async def opened(port: int, path: str = "/ws/x", **options: Any) -> ClientConnection:
    return await connect(f"ws://127.0.0.1:{port}{path}", proxy=None, **options)


@contextlib.asynccontextmanager
async def by_hand(port: int, path: bytes = b"/ws/x") -> Any:
    """Open a WebSocket on a bare connection, so that frames can be wrong."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD.replace(b"/ws/x", path) + b"\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    yield reader, writer
    writer.close()


def frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


async def close_code(reader: asyncio.StreamReader) -> int:
    data = await asyncio.wait_for(reader.read(), 10)
    assert data[:1] == b"\x88"
    return int(struct.unpack("!H", data[2:4])[0])


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /ws/x HTTP/1.0\r\nHost: a\r\n" + UPGRADE + KEY, 400),
        (b"POST /ws/x HTTP/1.1\r\nHost: a\r\n" + UPGRADE + KEY, 400),
        (b"GET /other HTTP/1.1\r\nHost: a\r\n" + UPGRADE + KEY, 400),
        (b"GET /ws HTTP/1.1\r\nHost: a\r\n" + UPGRADE + KEY, 400),
        (b"GET /ws/../other HTTP/1.1\r\nHost: a\r\n" + UPGRADE + KEY, 400),
        (b"GET /ws/%2e%2e/other HTTP/1.1\r\nHost: a\r\n" + UPGRADE + KEY, 400),
        (b"GET /%77s/x HTTP/1.1\r\nHost: a\r\n" + UPGRADE + KEY, 400),
        (b"GET /ws/x HTTP/1.1\r\n" + UPGRADE + KEY, 400),
        (HEAD + b"Content-Length: 3\r\n", 400),
        (HEAD + b"Content-Length: 0\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400),
        (HEAD + b"Expect: 100-continue\r\n", 400),
        (HEAD + b"X: \xff\r\n", 400),
        (HEAD + b"X: " + b"y" * 9000 + b"\r\n", 431),
        (HEAD.replace(b"/ws/x", b"/ws/x?" + b"y" * 9000), 431),
        (b"GET /ws/x HTTP/1.1\r\nHost: a\r\n" + UPGRADE, 400),
        (HEAD.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), 400),
        (HEAD + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400),
        (HEAD.replace(b"Version: 13", b"Version: 8"), 400),
        (HEAD + b"Upgrade: websocket\r\n", 426),
        (HEAD.replace(b"/ws/x", b"/ws/no"), 429),
    ],
)
async def test_a_handshake_that_is_refused_ends_its_connection(head: bytes, status: int) -> None:
    app = App()
    async with serving(app, Sockets) as port:
        answer = await exchange(port, head + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert [scope["path"] for scope in app.scopes] == (["/ws/no"] if status == 429 else [])


@pytest.mark.parametrize(
    "extra",
    [PLAIN, HEAD + b"\r\n", frame(Opcode.TEXT, b"early"), b"\r\n"],
    ids=["request", "head", "frame", "line"],
)
async def test_what_comes_with_a_handshake_is_never_a_request(extra: bytes) -> None:
    app = App()
    async with serving(app, Sockets) as port:
        answer = await exchange(port, HEAD + b"\r\n" + extra)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert app.scopes == []


@pytest.mark.parametrize(
    "extra", [PLAIN, HEAD + b"\r\n", frame(Opcode.TEXT, b"early")], ids=["request", "head", "frame"]
)
async def test_what_comes_before_the_answer_to_a_handshake_is_never_a_request(extra: bytes) -> None:
    app = App()
    app.accept.clear()
    async with serving(app, Sockets) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"\r\n")
        while not app.scopes:
            await asyncio.sleep(0.01)
        writer.write(extra)
        await writer.drain()
        await asyncio.sleep(0.05)
        app.accept.set()
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert isinstance(await app.end(), OSError)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert [scope["type"] for scope in app.scopes] == ["websocket"]


async def test_a_request_after_the_handshake_was_answered_is_a_broken_frame() -> None:
    app = App()
    async with serving(app, Sockets) as port, by_hand(port) as (reader, writer):
        writer.write(PLAIN)
        assert await close_code(reader) == 1002
        assert (await app.end())["code"] == 1002
    assert len(app.scopes) == 1


async def test_a_handshake_behind_another_request_is_refused_unless_that_is_answered() -> None:
    async with serving(App(), Sockets) as port:
        answer = await exchange(port, PLAIN + HEAD + b"\r\n")
        assert b" 101 " not in answer
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PLAIN)
        await reader.readuntil(b"ok")
        writer.write(HEAD + b"\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.close()


async def test_a_handshake_in_any_pieces_is_one() -> None:
    async with serving(App(), Sockets) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for at in range(0, len(HEAD) + 2, 7):
            writer.write((HEAD + b"\r\n")[at : at + 7])
            await writer.drain()
            await asyncio.sleep(0.001)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.close()


async def test_messages_pass_whole_and_as_what_they_are() -> None:
    app = App()
    async with serving(app, Sockets) as port:
        socket = await opened(port, "/ws/x?a=%20b", max_size=None)
        assert not socket.protocol.extensions
        big = os.urandom(8 * 1024 * 1024)
        for message in ("", "grüß", b"", b"\x00\xff", big):
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send(["frag", "men", "", "ted"])
        assert await socket.recv() == "fragmented"
        await socket.close(4001, "bye")
        ended = await app.end()
    assert (ended["code"], ended["reason"]) == (4001, "bye")
    scope = app.scopes[0]
    assert (scope["type"], scope["path"], scope["query_string"]) == ("websocket", "/ws/x", b"a=%20b")


async def test_an_answer_instead_of_a_socket_is_the_applications() -> None:
    async with serving(App(), Sockets) as port:
        with pytest.raises(InvalidStatus) as caught:
            await opened(port, "/ws/no")
    answer = caught.value.response
    assert (answer.status_code, answer.headers["x-a"], answer.body) == (429, "b", b"too many")


async def test_a_message_too_large_or_in_too_many_pieces_ends_the_socket() -> None:
    app = App()
    async with serving(app, HurriedSockets) as port:
        socket = await opened(port)
        await socket.send(b"x" * 100_001)
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009
        async with by_hand(port) as (reader, writer):
            empty = frame(Opcode.CONT, b"", fin=False)
            writer.write(frame(Opcode.TEXT, b"", fin=False) + empty * 20)
            assert await close_code(reader) == 1009
    assert app.taken == 0


async def test_text_that_is_none_ends_the_socket(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(App(), Sockets) as port, by_hand(port) as (reader, writer):
        writer.write(frame(Opcode.TEXT, b"\xff\xfe"))
        assert await close_code(reader) == 1007
    assert "UTF-8" not in caplog.text


async def test_an_application_that_does_not_take_holds_the_client_back() -> None:
    app = App()
    async with serving(app, Sockets) as port, by_hand(port) as (_, writer):
        app.go.clear()
        await asyncio.sleep(0.05)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 200 * 1024 * 1024:
                writer.write(frame(Opcode.BINARY, b"x" * 65536))
                sent += 65536
                await asyncio.wait_for(writer.drain(), 1)
        assert sent < 100 * 1024 * 1024  # what the kernel's two buffers take, and a little
        writer.transport.abort()


async def test_a_client_that_does_not_read_is_left_even_if_it_pings() -> None:
    app = App()
    async with serving(app, HurriedSockets) as port, by_hand(port, b"/ws/flood") as (reader, writer):
        reader._transport.pause_reading()
        (protocol,) = CONNECTIONS[port]
        most = 0
        async with asyncio.timeout(10):
            while CONNECTIONS[port]:
                writer.write(frame(Opcode.PING, b"p" * 120) * 100)
                most = max(most, protocol.transport.get_write_buffer_size())
                await asyncio.sleep(0.005)
        assert most < 300_000
        assert isinstance(await app.end(), OSError)


async def test_a_client_that_vanishes_is_noticed() -> None:
    app = App()
    async with serving(app, HurriedSockets) as port, by_hand(port) as (_, writer):
        writer.transport.abort()
        assert (await app.end())["code"] in (1005, 1006)


async def test_no_address_or_message_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    uvicorns = logging.getLogger("uvicorn.error")
    async with serving(App(), Sockets) as port:
        caplog.set_level("DEBUG", "uvicorn.error")
        caplog.set_level("DEBUG")
        uvicorns.addHandler(caplog.handler)
        socket = await opened(port, "/ws/x?key=secret", logger=logging.getLogger("tests.client"))
        await socket.send(json.dumps({"said": "secret"}))
        await socket.recv()
        await socket.close()
        with pytest.raises(InvalidStatus):
            await opened(port, "/ws/no?key=secret", logger=logging.getLogger("tests.client"))
    uvicorns.removeHandler(caplog.handler)
    ours = [record for record in caplog.records if record.name != "tests.client"]
    assert "secret" not in "".join(record.getMessage() for record in ours)
    assert len(caplog.records) > len(ours)
