import asyncio
from typing import Any

import pytest
from tests.httprelay.support import exchange, serving


def app(status: int, headers: list[tuple[bytes, bytes]], *pieces: bytes) -> Any:
    async def answer(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return answer


ASK = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("asked", "status", "headers", "end"),
    [
        (
            ASK,
            200,
            [],
            b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
        ),
        (ASK, 200, [(b"Content-Length", b"2")], b"connection: close\r\n\r\nab"),
        (ASK.replace(b"1.1", b"1.0"), 200, [], b"connection: close\r\n\r\nab"),
        (ASK.replace(b"GET", b"HEAD"), 200, [(b"content-length", b"2")], b"connection: close\r\n\r\n"),
    ],
)
async def test_an_answer_is_framed_as_its_request_can_read_it(
    asked: bytes, status: int, headers: list[tuple[bytes, bytes]], end: bytes
) -> None:
    async with serving(app(status, headers, b"a", b"b")) as port:
        answer = await exchange(port, asked)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(end)


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_is_a_head_alone(status: int) -> None:
    async with serving(app(status, [])) as port:
        answer = await exchange(port, ASK)
    assert answer.endswith(b"connection: close\r\n\r\n")
    assert b"transfer-encoding" not in answer


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\nset-cookie: b=c"),
        (b"x", b"a\nb"),
        (b"x", b"a\x00b"),
        (b"x\r\ny", b"a"),
        (b"x y", b"a"),
        (b"", b"a"),
        (b"transfer-encoding", b"chunked"),
    ],
)
async def test_a_header_that_would_split_the_answer_is_never_sent(header: tuple[bytes, bytes]) -> None:
    async with serving(app(200, [header], b"a")) as port:
        answer = await exchange(port, ASK)
    assert b"200 OK" not in answer
    assert b"set-cookie" not in answer


@pytest.mark.parametrize(("length", "body"), [(b"1", b"ab"), (b"3", b"ab")])
async def test_a_body_that_is_not_as_long_as_it_said_ends_the_connection(length: bytes, body: bytes) -> None:
    async with serving(app(200, [(b"content-length", length)], body)) as port:
        answer = await exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.count(b"HTTP/1.1") <= 1


async def test_a_stream_that_has_only_begun_shows_its_head() -> None:
    async def hold(_scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()
        while (await receive())["type"] != "http.disconnect":
            continue

    async with serving(hold) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200")
        writer.close()
