import asyncio

import pytest
from tests.httprelay.support import raw_upstream

from httprelay import UpstreamClosed, UpstreamProtocolError, UpstreamTimeout
from httprelay.connection import Connection


async def fetch(answer: bytes, *, pieces: int = 1, is_head: bool = False) -> tuple[Connection, bytes]:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        step = max(1, len(answer) // pieces)
        for start in range(0, len(answer), step):
            writer.write(answer[start : start + step])
            await writer.drain()
            await asyncio.sleep(0.001)

    async with raw_upstream(handler) as port:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        connection.begin(is_head=is_head)
        connection.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        try:
            await connection.read_head(5)
            body = b""
            while True:
                body += await connection.read(5)
                if connection.answer.done:
                    return connection, body
        finally:
            connection.abort()


@pytest.mark.parametrize("pieces", [1, 7, 1000])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX-T: 1\r\n\r\n",
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
    ],
)
async def test_answers_are_read_whole(answer: bytes, pieces: int) -> None:
    connection, body = await fetch(answer, pieces=pieces)
    assert (connection.answer.status, body) == (200, b"hello")
    assert [name for name, _ in connection.answer.headers if name in (b"x-t", b"link")] == []


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_answers_without_a_body(status: bytes) -> None:
    connection, body = await fetch(b"HTTP/1.1 " + status + b"\r\nETag: x\r\n\r\n")
    assert (connection.answer.keep, body) == (True, b"")


async def test_head_ends_with_its_headers() -> None:
    _, body = await fetch(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", is_head=True)
    assert body == b""


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
@pytest.mark.parametrize("pieces", [1, 9])
async def test_ambiguous_answers_are_refused(answer: bytes, pieces: int) -> None:
    with pytest.raises(UpstreamProtocolError):
        await fetch(answer, pieces=pieces)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhe",
    ],
)
async def test_cut_answers_are_errors(answer: bytes) -> None:
    with pytest.raises(UpstreamClosed):
        await fetch(answer)


async def test_silence_is_a_time_out() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_upstream(silent) as port:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
        connection.begin(is_head=False)
        with pytest.raises(UpstreamTimeout):
            await connection.read_head(0.05)
