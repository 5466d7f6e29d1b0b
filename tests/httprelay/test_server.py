import asyncio
from typing import Any

import pytest
from tests.httprelay.support import CONNECTIONS, exchange, serving

from httprelay import BoundedHttpProtocol, Bounds


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"GET /%0a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 100 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + b"a: b\r\n" * 98 + b"\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"y" * 70_000, 431),
        (b"GET /" + b"y" * 70_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b?\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n", 200),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 400),
        (
            b"PUT / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx",
            400,
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c\r\n\r\n", 200),
    ],
)
async def test_heads(head: bytes, status: int) -> None:
    async with serving(hello) as port:
        answer = await exchange(port, head)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1") == 1


class Hurried(BoundedHttpProtocol):
    bounds = Bounds(head_seconds=0.2, body_seconds=0.3, write_seconds=0.3, pipelined=2)


class App:
    """Reads a body and answers; remembers how each request ended, and holds `/hold` until the client goes."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.started = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.started.set()
        message = await receive()
        while scope["path"] == "/hold" or message.get("more_body"):
            if message["type"] == "http.disconnect":
                break
            message = await receive()
        self.ended.append(message["type"])
        if scope["path"] == "/flood":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(1000):
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        await hello(scope, receive, send)


async def drip(port: int, data: bytes, piece: bytes, seconds: float = 0.05) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = asyncio.ensure_future(reader.read())
    try:
        async with asyncio.timeout(10):
            while not answer.done():
                await asyncio.sleep(seconds)
                writer.write(piece)
            return await answer
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("begun", [b"GET / HTTP/1.1\r\nHost: a\r\n", b"G"])
async def test_a_head_that_drips_is_ended(begun: bytes) -> None:
    async with serving(App(), Hurried) as port:
        answer = await drip(port, begun, b"X: y\r\n" if len(begun) > 1 else b"")
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_connection_that_says_nothing_or_nothing_more_is_closed_without_a_word() -> None:
    async with serving(App(), Hurried) as port:
        assert await drip(port, b"", b"") == b""
        second = await drip(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n")
    assert second.count(b"HTTP/1.1 200") == 1


async def test_a_body_that_stops_is_ended_and_one_that_comes_slowly_is_not() -> None:
    app = App()
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 8\r\n\r\n"
    async with serving(app, Hurried) as port:
        assert (await drip(port, head + b"x", b"")).startswith(b"HTTP/1.1 408 ")
        assert (await drip(port, head, b"x", 0.1)).startswith(b"HTTP/1.1 200 ")
    assert app.ended == ["http.disconnect", "http.request"]


async def test_a_client_that_does_not_read_is_left() -> None:
    app = App()
    async with serving(app, Hurried) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(10):
            await app.started.wait()
            while CONNECTIONS[port]:
                await asyncio.sleep(0.05)
        writer.close()


async def test_the_first_of_pipelined_requests_learns_that_the_client_went() -> None:
    app = App()
    async with serving(app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n")
        await app.started.wait()
        writer.close()
        async with asyncio.timeout(5):
            while not app.ended:
                await asyncio.sleep(0.01)
    assert app.ended == ["http.disconnect"]


async def test_too_many_pipelined_requests_are_refused() -> None:
    app = App()
    async with serving(app, Hurried) as port:
        answer = await exchange(port, b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n" * 4)
    assert answer == b""
    assert app.ended == ["http.disconnect"]


async def test_pipelined_requests_are_answered_in_order() -> None:
    one = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    async with serving(App()) as port:
        answer = await exchange(port, one + one + last)
    assert answer.count(b"HTTP/1.1 200") == 3


async def test_a_broken_chunk_after_which_no_answer_began_is_400() -> None:
    app = App()
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(app) as port:
        answer = await exchange(port, head + b"3\r\nabc\r\nzz\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert app.ended in ([], ["http.disconnect"])


async def test_a_body_that_was_asked_for_ends_the_connection_with_its_answer() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    async with serving(App()) as port:
        answer = await exchange(port, head + b"x")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    assert b"connection: close" in answer


async def test_a_head_behind_a_long_body_is_not_taken_for_a_long_head() -> None:
    body = b"x" * 200_000
    first = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    second = b"GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: " + b"y" * 2000
    async with serving(App()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first + second)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert answer.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize("begun", [b"0\r\nX: ", b"1;a="])
async def test_a_trailer_or_a_chunks_line_without_an_end_is_refused(begun: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(App()) as port:
        answer = await drip(port, head + begun, b"y" * 8000, 0.002)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1])
async def test_a_heads_bound_is_exact_in_one_read_or_several(size: int) -> None:
    begun = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: "
    head = begun + b"y" * (size - len(begun) - 4) + b"\r\n\r\n"
    async with serving(hello) as port:
        whole = await exchange(port, head)
        cut = await drip(port, head[:30_000], head[30_000:])
    expected = b"HTTP/1.1 200" if size == 64 * 1024 else b"HTTP/1.1 431"
    assert [whole[:12], cut[:12] or expected] == [expected, expected]


async def test_a_connection_is_kept_between_requests_and_closed_after_a_time() -> None:
    class Impatient(BoundedHttpProtocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.timeout_keep_alive = 0.2  # type: ignore[assignment]

    async with serving(hello, Impatient) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(4):
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.1)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


@pytest.mark.parametrize(
    "line", [b"GET /\r\n\r\n", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"]
)
async def test_other_versions_of_http_are_refused(line: bytes) -> None:
    async with serving(hello) as port:
        assert (await exchange(port, line)).startswith(b"HTTP/1.1 400 ")
