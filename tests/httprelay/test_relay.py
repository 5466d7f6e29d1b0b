import asyncio
import random
from functools import partial
from typing import Any

import pytest
from tests.httprelay.support import exchange, raw_upstream, serving

from httprelay import Pool, RelayError, Sink, Target, Timeouts, UpstreamTimeout, relay
from httprelay.connection import Connection
from httprelay.response import ResponseParser


class Seen:
    def __init__(self) -> None:
        self.data = bytearray()
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


async def test_an_answer_to_a_request_that_is_still_being_sent_is_passed_on_at_once() -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await reader.read()

    seen = Seen()
    async with raw_upstream(early) as up, serving(app_for(up, seen)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nfirst")
        assert (await asyncio.wait_for(reader.readuntil(b"big"), 5)).startswith(b"HTTP/1.1 413 ")
        writer.close()
    assert seen.ended == "complete"


async def test_a_connection_whose_request_was_not_sent_whole_carries_no_other() -> None:
    heads: list[bytes] = []

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await reader.read()

    begun = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nfirst"
    async with raw_upstream(early) as up, serving(app_for(up, Seen())) as port:
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begun)
            await asyncio.wait_for(reader.readuntil(b"big"), 5)
            writer.close()
    assert len(heads) == 2


async def test_a_client_that_has_said_all_and_hangs_up_half_is_taken_for_gone() -> None:
    seen = Seen()
    begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"
    async with raw_upstream(upstream(begun, hold=True)) as up, serving(app_for(up, seen)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"hi")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b"\r\n"
        writer.close()
    assert seen.ended == "client_gone"


async def test_an_upstream_that_hangs_up_half_has_ended_an_answer_without_a_length() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        writer.write_eof()
        await reader.read()

    seen = Seen()
    async with raw_upstream(half) as up, serving(app_for(up, seen)) as port:
        answer = await exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"5\r\nhello\r\n0\r\n\r\n")
    assert seen.ended == "complete"


async def test_pipelined_requests_are_relayed_one_after_the_other_over_one_connection() -> None:
    connections: list[int] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(0)
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split()[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    one, two, last = (
        b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % pair
        for pair in ((b"/one", b""), (b"/two", b""), (b"/last", b"Connection: close\r\n"))
    )
    async with raw_upstream(echo) as up, serving(app_for(up, Seen())) as port:
        answer = await exchange(port, one + two + last)
    assert answer.index(b"/one") < answer.index(b"/two") < answer.index(b"/last")
    assert len(connections) == 1


async def test_interim_answers_and_trailers_of_an_upstream_are_not_passed_on() -> None:
    whole = (
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n"
    )
    async with raw_upstream(upstream(whole)) as up, serving(app_for(up, Seen())) as port:
        answer = await exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"ink" not in answer
    assert b"x-t" not in answer.lower()
    assert answer.endswith(b"2\r\nhi\r\n0\r\n\r\n")


async def test_trailers_of_a_client_are_not_passed_on() -> None:
    got = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.extend(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with raw_upstream(listen) as up, serving(app_for(up, Seen())) as port:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = await exchange(port, head + b"3;a=b\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert got.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")


@pytest.mark.parametrize("method", [b"HEAD", b"GET"])
async def test_a_cookie_of_one_answer_is_not_sent_with_the_next_request(method: bytes) -> None:
    heads: list[bytes] = []

    async def sets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            heads.append(head)
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    async with raw_upstream(sets) as up, serving(app_for(up, Seen())) as port:
        for _ in range(2):
            await exchange(port, method + b" / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert len(heads) == 2
    assert b"cookie" not in b"".join(heads).lower()


async def test_a_body_that_cannot_be_read_ends_the_request() -> None:
    pool, seen = Pool(), Seen()

    async def broken() -> dict[str, Any]:
        raise OSError("disc full")

    async with raw_upstream(upstream(b"", hold=True)) as up:
        scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"5")]}
        with pytest.raises(RelayError, match="body could not be read"):
            await relay(
                scope,
                broken,
                broken,  # type: ignore[arg-type]
                pool=pool,
                target=Target("127.0.0.1", up),
                path=b"/",
                headers=[],
                observer=seen,
            )
        await pool.aclose()


async def test_a_place_in_the_pool_is_freed_once_where_a_repeated_request_finds_no_connection() -> None:
    pool = Pool(limit=1)

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        server.close()
        writer.close()

    async def never() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def ignore(_message: Any) -> None:
        return

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    target = Target("127.0.0.1", server.sockets[0].getsockname()[1])

    async def ask() -> str:
        scope = {"type": "http", "method": "GET", "headers": []}
        return await relay(scope, never, ignore, pool=pool, target=target, path=b"/", headers=[])

    assert await ask() == "complete"
    with pytest.raises(RelayError, match="cannot connect"):
        await ask()
    assert pool._places[target].in_use == 0


async def test_a_client_that_reads_slowly_holds_the_upstream_and_gets_everything() -> None:
    sent, held = 0, asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (400 * 65536))
        for number in range(400):
            writer.write(b"%c" % (number % 256) * 65536)
            sent += 1
            try:
                await asyncio.wait_for(writer.drain(), 0.3)
            except TimeoutError:
                held.set()
                await writer.drain()

    seen = Seen()
    async with raw_upstream(flood) as up, serving(app_for(up, seen)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        await asyncio.wait_for(held.wait(), 10)
        assert sent < 390
        got = await asyncio.wait_for(reader.read(), 20)
        writer.close()
    body = got.partition(b"\r\n\r\n")[2]
    assert body == b"".join([b"%c" % (number % 256) * 65536 for number in range(400)])
    assert (seen.ended, len(seen.data)) == ("complete", len(body))


@pytest.mark.parametrize("late", [False, True])
async def test_a_piece_that_cannot_be_sent_ends_the_relay_with_the_senders_error(late: bool) -> None:
    async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"2\r\nhi\r\n")
            await asyncio.sleep(0.01)

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == 4:
            if late:
                await asyncio.sleep(0.01)
            raise OSError("no more")

    async def never() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    pool, seen = Pool(), Seen()
    async with raw_upstream(drips) as up:
        scope = {"type": "http", "method": "GET", "headers": []}
        with pytest.raises(OSError, match="no more"):
            await relay(
                scope,
                never,
                send,
                pool=pool,
                target=Target("127.0.0.1", up),
                path=b"/",
                headers=[],
                observer=seen,
            )
        assert len(sent) == 4
        assert seen.ended == "client_gone"
        assert pool._places[Target("127.0.0.1", up)].in_use == 0


async def test_a_relay_that_is_cancelled_while_it_sends_lets_go_of_both_sides() -> None:
    async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"2\r\nhi\r\n")
            await asyncio.sleep(0.01)

    sent: list[Any] = []
    stuck, left = asyncio.Event(), asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == 4:
            try:
                stuck.set()
                await asyncio.Event().wait()
            finally:
                left.set()

    async def never() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    pool, seen = Pool(), Seen()
    async with raw_upstream(drips) as up:
        scope = {"type": "http", "method": "GET", "headers": []}
        target = Target("127.0.0.1", up)
        task = asyncio.create_task(
            relay(scope, never, send, pool=pool, target=target, path=b"/", headers=[], observer=seen)
        )
        await asyncio.wait_for(stuck.wait(), 5)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left.is_set()
        assert (seen.ended, pool._places[target].in_use) == ("client_gone", 0)


def bounded_app(port: int, seen: Seen) -> Any:
    """Relay through a ``send`` that waits, as one with a time limit does."""
    inner = app_for(port, seen)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def bounded(message: Any) -> None:
            async with asyncio.timeout(20):
                await send(message)

        await inner(scope, receive, bounded)

    return app


@pytest.mark.parametrize(
    "framing", [b"Transfer-Encoding: chunked", b"Content-Length: %d", b"Connection: close"]
)
@pytest.mark.parametrize("first", [app_for, bounded_app])
async def test_two_relays_in_a_row_pass_every_piece_on_to_a_client_that_reads_slowly(
    first: Any, framing: bytes
) -> None:
    dice = random.Random(framing)
    pieces = [dice.randbytes(dice.choice((1, 7, 900, 16_384, 70_000, 200_000))) for _ in range(120)]
    whole = b"".join(pieces)
    chunked = framing.startswith(b"Transfer")

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        length = framing % len(whole) if b"%d" in framing else framing
        writer.write(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % length)
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
            if len(piece) < 1000:
                await asyncio.sleep(0.001)
        writer.write(b"0\r\n\r\n" if chunked else b"")
        await writer.drain()

    seen, behind = Seen(), Seen()
    async with (
        raw_upstream(upstream) as up,
        serving(first(up, behind)) as middle,
        serving(app_for(middle, seen)) as port,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        got = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        chunks = [await reader.read(3000)]
        for _ in range(50):
            await asyncio.sleep(0.001)
            chunks.append(await reader.read(3000))
        chunks.append(await asyncio.wait_for(reader.read(), 20))
        writer.close()
    body = b"".join(chunks)
    if b"chunked" in got:
        parser = ResponseParser()
        parser.begin(is_head=False)
        parser.feed(got + body)
        assert parser.done
        body = parser.take()
    assert body == whole
    assert (seen.ended, seen.data, behind.ended, behind.data) == ("complete", whole, "complete", whole)


class Grudging(Sink):
    """Takes one piece, then none before it was waited for, and tells what was done otherwise."""

    def __init__(self) -> None:
        self.data = b""
        self.full = self.done = False
        self.waits = 0

    async def send(self, message: Any) -> None:
        assert not self.full, "sent while it was full"
        self.data += message.get("body", b"")
        self.done = message["type"] == "http.response.body" and not message.get("more_body", False)

    def offer(self, data: bytes) -> bool:
        assert data
        assert not self.full, "offered while it was full"
        self.data += data
        self.full = True
        return False

    async def ready(self) -> None:
        assert self.full
        async with asyncio.timeout(5):  # which only a task may ask for
            await asyncio.sleep(0.01)
        self.waits += 1
        self.full = False


class Known(Pool):
    """A pool that tells its connection, to give it what arrives in one turn of the loop."""

    async def connect(self, target: Target, seconds: float) -> Connection:
        self.made = await super().connect(target, seconds)
        return self.made


async def test_what_comes_while_a_sink_is_full_waits_in_order() -> None:
    pool, sink, seen = Known(), Grudging(), Seen()

    async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await asyncio.sleep(0.01)
        pool.made.data_received(b"3\r\n000\r\n")
        async with asyncio.timeout(5):
            while not sink.waits:  # also where nothing follows
                await asyncio.sleep(0.001)
        for number in range(1, 100, 3):
            for each in range(number, number + 3):
                pool.made.data_received(b"3\r\n%03d\r\n" % each)
            await asyncio.sleep(0.001)
        writer.write(b"0\r\n\r\n")

    async def never() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async with raw_upstream(drips) as up:
        scope = {"type": "http", "method": "GET", "headers": []}
        target = Target("127.0.0.1", up)
        await relay(scope, never, sink.send, pool=pool, target=target, path=b"/", headers=[], observer=seen)
    assert sink.data == b"".join(b"%03d" % number for number in range(100)) == bytes(seen.data)
    assert sink.done
    assert 1 < sink.waits < 100
