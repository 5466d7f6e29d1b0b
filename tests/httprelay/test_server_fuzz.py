"""Requests of clients in every read split beside what h11 makes of them, and our answers in its eyes."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import h11
import pytest
import uvicorn
from hypothesis import event, given
from hypothesis import strategies as st
from tests.httprelay.splits import LONG, SHORT_BYTES, brief, cut, damaged, every_cut, places, thorough
from uvicorn.server import ServerState

from httprelay import BoundedHttpProtocol


class Asked(NamedTuple):
    """A request, whole."""

    method: bytes
    target: bytes
    version: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Wire:
    """A transport that keeps what is written, and says when its protocol may be fed."""

    def __init__(self) -> None:
        self.written, self.closing, self.paused = b"", False, False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def write(self, data: bytes) -> None:
        self.written += b"" if self.closing else data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Served(NamedTuple):
    """What came of a connection: the requests that were whole, what was written, whether it was closed."""

    asked: list[Asked]
    written: bytes
    closed: bool


class Listener:
    """Serves connections without sockets."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.config = uvicorn.Config(
            self.app, ws="none", interface="asgi3", lifespan="off", log_level="critical"
        )
        self.config.load()
        self.runner = asyncio.Runner()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        headers = tuple(_plain(*pair) for pair in scope["headers"])
        method, version = scope["method"].encode(), scope["http_version"].encode()
        self.asked.append(Asked(method, target, version, headers, body))
        chunked = scope["method"] == "PUT"
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [] if chunked else [(b"content-length", b"2")],
            }
        )
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        await send({"type": "http.response.body", "body": b"k"})

    def serve(self, pieces: list[bytes], *, pauses: bool) -> Served:
        return self.runner.run(self._serve(pieces, pauses=pauses))

    async def _serve(self, pieces: list[bytes], *, pauses: bool) -> Served:
        self.asked, state, wire = [], ServerState(), Wire()
        protocol: Any = BoundedHttpProtocol(config=self.config, server_state=state, app_state={})
        protocol.connection_made(wire)
        for piece in pieces:
            await self._turn(lambda: not wire.paused)
            if wire.closing:
                break
            protocol.data_received(piece)
            if pauses:
                await self._turn(lambda: False, 3)
        await self._turn(lambda: False, 40)
        closed = wire.closing
        protocol.connection_lost(None)
        await self._turn(lambda: not state.tasks)
        assert not state.tasks
        return Served(self.asked, wire.written, closed)

    async def _turn(self, enough: Any, most: int = 500) -> None:
        while not enough() and most:
            most -= 1
            await asyncio.sleep(0)


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.runner.close()


def _plain(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    return name, value.lower() if name == b"transfer-encoding" else value


def theirs(data: bytes) -> tuple[list[Asked], h11.Request | None, bool]:
    """Return the requests that h11 finds whole, the one that is not, and whether it refuses what follows."""
    oracle, found = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024), []
    if data:
        oracle.receive_data(data)
    request: h11.Request | None = None
    body = b""
    while True:
        try:
            now = oracle.next_event()
        except h11.RemoteProtocolError:
            return found, request, True
        if isinstance(now, h11.Request):
            request, body = now, b""
        elif isinstance(now, h11.Data):
            body += now.data
        elif isinstance(now, h11.EndOfMessage):
            assert request is not None
            headers = tuple(request.headers)
            found.append(Asked(request.method, request.target, request.http_version, headers, body))
            if found[-1].method == b"CONNECT":
                return found, None, False
            request = None
            oracle.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            oracle.send(h11.EndOfMessage())
            if oracle.our_state is not h11.DONE or oracle.their_state is not h11.DONE:
                return found, None, False
            oracle.start_next_cycle()
        else:
            return found, request, False


CONTROL = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
BARE = rb"(?<!\r)\n|\r(?!\n)"
METHODS = b"GET HEAD POST PUT DELETE OPTIONS PATCH".split()
PATH = rb"/(?:[!-\"$&->@-~]|%(?![01][0-9a-fA-F]|7[fF]))*(?:\?[!-\"$-~]*)?"

# Where we end a connection on which h11 finds another request: by that request, or by all that was sent.
STRICTER: dict[str, Any] = {
    "a bare CR or LF": lambda data, asked: re.search(BARE, data),
    "a folded header or trailer": lambda data, asked: re.search(rb"\n[ \t]", data),
    "a control character": lambda data, asked: re.search(CONTROL, data),
    "no Host, several, or one that is none": lambda data, asked: (
        not re.fullmatch(
            rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", dict(asked.headers).get(b"host", b"")
        )
    ),
    "a target that is no path, or an odd one": lambda data, asked: not re.fullmatch(PATH, asked.target),
    "a method that is not served": lambda data, asked: asked.method not in METHODS,
    "a version other than 1.0 and 1.1": lambda data, asked: asked.version not in (b"1.0", b"1.1"),
    "two framings": lambda data, asked: (
        len(re.findall(rb"(?im)^(?:content-length|transfer-encoding):", data)) > 1
        or re.search(rb"(?im)^content-length:[^\r\n]*,", data)
    ),
    "chunks in HTTP/1.0": lambda data, asked: asked.version == b"1.0" and b"chunked" in data.lower(),
    "a WebSocket": lambda data, asked: dict(asked.headers).get(b"upgrade") == b"websocket",
    "nothing may follow a body that was asked for, or an upgrade": lambda data, asked: re.search(
        rb"(?im)^(?:expect|upgrade):", data
    ),
    "HTTP/1.0 is never kept alive": lambda data, asked: b"HTTP/1.0" in data,
    "white space after a chunk's size, or an odd extension": lambda data, asked: re.search(
        rb"(?m)^[0-9a-fA-F]+[ \t]*(?:;|[ \t])", data
    ),
    "a number beyond 2**64": lambda data, asked: re.search(rb"[0-9a-fA-F]{16}", data),
    "a trailer that would frame a body": lambda data, asked: re.search(
        rb"(?im)^0[^\n]*\n(?:[^\n]+\n)*(?:content-length|transfer-encoding)", data
    ),
}
# Where we find a request that h11 refuses: nothing of it is passed on as it was written.
LOOSER = {
    "blank lines before a request": lambda data: re.search(
        rb"(?:^|\n|[^\r\n])\r?\n\r?\n|\A\r?\n|\n\r\n", data
    ),
    "spaces behind the method": lambda data: re.search(rb"(?m)^[A-Z]+  ", data),
    "a number may begin with any number of zeros": lambda data: re.search(rb"0{4}", data),
}


def agree(data: bytes, served: Served) -> None:
    expected, begun, refused = theirs(data)
    seen = served.asked
    both = min(len(seen), len(expected))
    assert seen[:both] == expected[:both]
    if len(seen) > both:
        reasons = [why for why, holds in LOOSER.items() if holds(data)]
        assert refused, data
        assert reasons, (data, seen[both])
        event(f"looser: {reasons[0]}")
    elif len(expected) > both:
        rest = [*expected[both:], *([] if begun is None else [_begun(begun)])]
        reasons = [why for why, holds in STRICTER.items() for missed in rest if holds(data, missed)]
        if refused or theirs(data + b"\r\n\r\n")[2]:
            reasons.append("what follows it is refused, and takes it along")
        assert served.closed, data
        assert reasons, (data, expected[both:])
        event(f"stricter: {reasons[0]}")
    elif refused and not served.closed:
        # What h11 refuses at its first byte, we do when it has ended, or its time.
        assert begun is None, data
        event("refused later")


def _begun(request: h11.Request) -> Asked:
    return Asked(request.method, request.target, request.http_version, tuple(request.headers), b"")


GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


def answered_well(served: Served) -> None:
    """See that a client finds one whole answer for each request that was served, and at most one refusal."""
    left = served.written
    for asked in served.asked:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method=asked.method, target="/", headers=[("host", "a")]))
        client.send(h11.EndOfMessage())
        client.receive_data(left)
        status, body = _answer(client)
        assert status == 200
        assert body == (b"" if asked.method == b"HEAD" else b"ok")
        left = client.trailing_data[0]
    if left == GO_ON:
        assert served.closed  # its request was taken along by a refused one behind it
    elif left:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
        client.send(h11.EndOfMessage())
        client.receive_data(left)
        status, _ = _answer(client)
        assert status in (400, 405, 431)
        assert client.trailing_data[0] == b""
        assert served.closed


def _answer(client: h11.Connection) -> tuple[int, bytes]:
    status, body = 0, b""
    while not isinstance(now := client.next_event(), h11.EndOfMessage):
        assert not isinstance(now, type(h11.NEED_DATA)), "the answer is not whole"
        if isinstance(now, h11.Response):
            status = now.status_code
        elif isinstance(now, h11.Data):
            body += now.data
    return status, body


LINES = st.sampled_from(
    [b"GET / HTTP/1.1"] * 4
    + [
        b"HEAD /a HTTP/1.1",
        b"POST /a?b=c HTTP/1.1",
        b"PUT /%7E HTTP/1.1",
        b"GET / HTTP/1.0",
        b"DELETE /a/../b HTTP/1.1",
    ]
)
ODD_LINES = st.sampled_from(
    [
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET /",
        b"get / HTTP/1.1",
        b"FOO / HTTP/1.1",
        b"CONNECT a:1 HTTP/1.1",
        b"TRACE / HTTP/1.1",
        b"GET * HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET http://b/ HTTP/1.1",
        b"GET /#a HTTP/1.1",
        b"GET /%0a HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET / HTTP/2.0",
        b"GET / HTTP/1.2",
        b"GET / HTTP/0.9",
        b"\r\nGET / HTTP/1.1",
        b"\nGET / HTTP/1.1",
        b"",
    ]
)
HEADERS = st.sampled_from(
    [
        b"X: a",
        b"Connection: keep-alive",
        b"Accept: */*",
        b"X:",
        b"X:\ta b ",
        b"Cookie: a=\xff",
        b"TE: trailers",
    ]
)
ODD_HEADERS = st.sampled_from(
    [
        b"Host: a",
        b"Host: b c",
        b"Content-Length: 3",
        b"Content-Length: 3, 3",
        b"Content-Length: +3",
        b"Content-Length: 3 ",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: chunked ",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding:\x0bchunked",
        b"Transfer-Encoding : chunked",
        b"Connection: close",
        b"Expect: 100-continue",
        b"Connection: upgrade\r\nUpgrade: h2c",
        b"Connection: upgrade\r\nUpgrade: websocket",
        b"X: a\r\n b",
        b" X: a",
        b"X : a",
        b"X",
        b"X: \x00",
        b"X: a\rb",
        b"X: a\nY: b",
    ]
)
BODIES = st.binary(max_size=9) | st.sampled_from(
    [b"hello", b"\r\n\r\n", b"0\r\n\r\n", b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"]
)
TAILS = st.sampled_from(
    [b""] * 5 + [b"T: 1\r\n", b"T: 1\r\n 2\r\n", b"Content-Length: 5\r\n", b"T\r\n", b"T: 1\n"]
)
ODD_CHUNKS = st.sampled_from(
    [
        b"-1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"1\r\nab\r\n",
        b"1\na\r\n",
        b"\r\n",
        b"1;a=b\r\na\r\n",
        b"1 \r\na\r\n",
        b"f" * 17 + b"\r\n",
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    line = draw(LINES if draw(st.integers(0, 7)) else ODD_LINES)
    lines = [line, b"Host: a", *draw(st.lists(HEADERS, max_size=2))]
    framing = draw(st.sampled_from(["none", "none", "length", "chunked"]))
    body = b""
    if framing == "length":
        body = draw(BODIES)
        lines.append(b"Content-Length: %d" % len(body))
    elif framing == "chunked":
        lines.append(b"Transfer-Encoding: chunked")
        body = b"".join(
            b"%x\r\n%b\r\n" % (len(piece), piece) for piece in draw(st.lists(BODIES, max_size=2)) if piece
        )
        body += draw(ODD_CHUNKS) if draw(st.integers(0, 6)) == 0 else b""
        body += b"0\r\n" + draw(TAILS) + b"\r\n"
    if draw(st.integers(0, 4)) == 0:
        lines.insert(draw(st.integers(1, len(lines))), draw(ODD_HEADERS))
    if draw(st.integers(0, 19)) == 0:
        lines.remove(b"Host: a")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


connections = damaged(st.lists(requests(), min_size=1, max_size=3).map(b"".join))


@thorough
@given(data=connections, where=places, pauses=st.booleans())
def test_requests_are_those_that_h11_finds_however_they_are_cut(
    listener: Listener, data: bytes, where: list[int], pauses: bool
) -> None:
    served = listener.serve(cut(data, where), pauses=pauses)
    agree(data, served)
    if served.asked and len(served.asked) == len(theirs(data)[0]):
        event("all served")


@thorough
@given(data=connections, where=places)
def test_every_request_that_is_served_has_one_answer_that_h11_can_read(
    listener: Listener, data: bytes, where: list[int]
) -> None:
    answered_well(listener.serve(cut(data, where), pauses=True))


@brief
@given(data=damaged(requests()).filter(lambda data: LONG or len(data) <= SHORT_BYTES))
def test_a_short_request_is_the_same_in_every_cut(listener: Listener, data: bytes) -> None:
    whole = listener.serve([data], pauses=False)
    for pieces in every_cut(data):
        served = listener.serve(pieces, pauses=False)
        assert served == whole, pieces
