import asyncio
from typing import Any

from tests.httprelay.support import exchange, raw_upstream, serving

from httprelay import Pool, RelayError, Target, relay


class Seen:
    def __init__(self) -> None:
        self.data = b""
        self.ended = ""
        self.over = asyncio.Event()

    def chunk(self, data: bytes) -> None:
        self.data += data

    def end(self, ended: str) -> None:
        self.ended = ended
        self.over.set()


def app_for(port: int, seen: Seen) -> Any:
    pool = Pool()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await relay(
                scope,
                receive,
                send,
                pool=pool,
                target=Target("127.0.0.1", port),
                path=scope["raw_path"],
                headers=scope["headers"],
                observer=seen,
            )
        except RelayError as error:
            body = type(error).__name__.encode()
            head = [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 502, "headers": head})
            await send({"type": "http.response.body", "body": body})

    return app


async def test_a_body_goes_there_and_back_without_hop_headers() -> None:
    got = bytearray()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.extend(await reader.readuntil(b"\r\n\r\n"))
        body = await reader.readexactly(200_000)
        writer.write(
            b"HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nX-End: 1\r\nContent-Length: 200000\r\n\r\n"
        )
        writer.write(body)
        await writer.drain()
        await reader.read()

    seen = Seen()
    async with raw_upstream(echo) as up, serving(app_for(up, seen)) as port:
        head = b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: close, x-mine\r\nX-Mine: 1\r\nX-Kept: 1\r\n"
        answer = await exchange(port, head + b"Content-Length: 200000\r\n\r\n" + b"z" * 200_000)
    assert b"x-mine" not in got
    assert b"x-kept: 1" in got
    assert b"x-hop" not in answer
    assert b"x-end: 1" in answer
    assert answer.endswith(b"z" * 200_000)
    assert (len(seen.data), seen.ended) == (200_000, "complete")


async def test_a_chunked_request_stays_chunked() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(head + body) + head + body)

    async with raw_upstream(echo) as up, serving(app_for(up, Seen())) as port:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = await exchange(port, head + b"3\r\nabc\r\n0\r\n\r\n")
    assert b"transfer-encoding: chunked" in answer
    assert answer.endswith(b"3\r\nabc\r\n0\r\n\r\n")


async def test_a_client_that_goes_closes_the_upstream() -> None:
    closed = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        try:
            await reader.read()
        finally:
            closed.set()

    seen = Seen()
    async with raw_upstream(stream) as up, serving(app_for(up, seen)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"hi")
        writer.close()
        await asyncio.wait_for(closed.wait(), 10)
        await asyncio.wait_for(seen.over.wait(), 10)
    assert seen.ended == "client_gone"


async def test_a_broken_answer_reaches_the_client_as_broken() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi")

    seen = Seen()
    async with raw_upstream(cut) as up, serving(app_for(up, seen)) as port:
        answer = await exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert not answer.endswith(b"0\r\n\r\n")
    assert seen.ended == "upstream_error"


async def test_no_upstream_is_the_callers_to_answer() -> None:
    async with serving(app_for(1, Seen())) as port:
        answer = await exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert answer.endswith(b"ConnectFailed")
