import asyncio
from functools import partial
from typing import Any

import pytest
from tests.httprelay.support import exchange, raw_upstream, serving

from httprelay import Pool, RelayError, Target, Timeouts, UpstreamTimeout, relay, without_hops


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


def app_for(port: int, seen: Seen, **options: Any) -> Any:
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
                **options,
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


LAST = b"data: last\n\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def upstream(answer: bytes, *, hold: bool = False) -> Any:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if hold:
            await reader.read()

    return handler


async def test_a_stream_of_events_that_breaks_ends_with_the_callers_last_event() -> None:
    seen = Seen()
    broken = EVENTS + b"Transfer-Encoding: chunked\r\n\r\n10\r\ndata: 1\n\ndata: 2\r\n"
    app = partial(app_for, seen=seen, on_cut=lambda _error: LAST)
    async with raw_upstream(upstream(broken)) as up, serving(app(up)) as port:
        answer = await exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"9\r\ndata: 1\n\n\r\nc\r\n" + LAST + b"\r\n0\r\n\r\n")
    assert (seen.ended, seen.data) == ("upstream_error", b"data: 1\n\ndata: 2")


async def test_a_silent_stream_of_events_ends_with_the_callers_last_event() -> None:
    causes: list[RelayError] = []

    def last(error: RelayError) -> bytes:
        causes.append(error)
        return LAST

    begun = EVENTS + b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n"
    app = partial(app_for, seen=Seen(), on_cut=last, timeouts=Timeouts(idle=0.1))
    async with raw_upstream(upstream(begun, hold=True)) as up, serving(app(up)) as port:
        answer = await exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.endswith(LAST + b"\r\n0\r\n\r\n")
    assert [type(cause) for cause in causes] == [UpstreamTimeout]


@pytest.mark.parametrize(
    "broken",
    [
        EVENTS + b"Content-Length: 99\r\n\r\ndata: 1\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi",
    ],
)
async def test_what_has_promised_its_end_or_is_no_event_is_cut(broken: bytes) -> None:
    app = partial(app_for, seen=Seen(), on_cut=lambda _error: LAST)
    async with raw_upstream(upstream(broken)) as up, serving(app(up)) as port:
        answer = await exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert LAST not in answer
    assert not answer.endswith(b"0\r\n\r\n")


async def test_a_whole_stream_of_events_is_passed_as_it_is() -> None:
    whole = EVENTS + b"Transfer-Encoding: chunked\r\n\r\n10\r\ndata: 1\n\ndata: 2\r\n0\r\n\r\n"
    app = partial(app_for, seen=Seen(), on_cut=lambda _error: LAST)
    async with raw_upstream(upstream(whole)) as up, serving(app(up)) as port:
        answer = await exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"data: 2\r\n0\r\n\r\n")
    assert b"last" not in answer


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_an_answer_without_a_body_promises_none(status: bytes) -> None:
    odd = b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n"
    async with raw_upstream(upstream(odd)) as up, serving(app_for(up, Seen())) as port:
        answer = await exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert b"content-length" not in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "odd",
    [
        b"HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 304 Not Modified\r\n\r\nhello",
    ],
)
async def test_an_unknown_status_or_a_body_where_none_may_be_is_no_answer(odd: bytes) -> None:
    async with raw_upstream(upstream(odd)) as up, serving(app_for(up, Seen())) as port:
        answer = await exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.endswith(b"UpstreamProtocolError")


def test_a_connection_header_names_what_is_for_one_hop() -> None:
    sent = [(b"connection", b"x-a, close"), (b"x-a", b"1"), (b"x-b", b"2"), (b"te", b"trailers")]
    assert without_hops(sent) == [(b"x-b", b"2")]
