"""Answers of upstreams, good and bad, in every read split, beside what h11 makes of them."""

import re
from typing import NamedTuple

import h11
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from tests.httprelay.splits import LONG, SHORT_BYTES, brief, cut, damaged, every_cut, places, thorough

from httprelay import UpstreamClosed, UpstreamProtocolError
from httprelay.response import MAX_HEAD_BYTES, ResponseParser


class Read(NamedTuple):
    """What was made of an answer: ``whole``, ``cut`` by its connection, still ``open``, or ``refused``."""

    outcome: str
    status: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


def ours(pieces: list[bytes], *, is_head: bool, ends: bool) -> Read:
    parser, body = ResponseParser(), b""
    parser.begin(is_head=is_head)
    outcome = "open"
    try:
        for piece in pieces:
            if parser.done:
                break
            parser.feed(piece)
            body += parser.take()
        if ends:
            parser.end()
    except UpstreamProtocolError:
        outcome = "refused"
    except UpstreamClosed:
        outcome = "cut"
    if parser.done:
        outcome = "whole"  # what follows its end is of no account
    headers = tuple(
        (name, value.lower() if name == b"transfer-encoding" else value) for name, value in parser.headers
    )
    body += parser.take()
    if outcome == "refused":
        return Read(outcome, parser.status if parser.head_done else 0, (), body)
    return Read(outcome, parser.status, headers if parser.head_done else (), body)


def theirs(data: bytes, *, is_head: bool, ends: bool) -> Read:
    oracle = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    oracle.send(h11.Request(method="HEAD" if is_head else "GET", target="/", headers=[("host", "a")]))
    oracle.send(h11.EndOfMessage())
    read = _drained(oracle, data, Read("open")) if data else Read("open")  # nothing would be the end
    if read.outcome != "open" or not ends:
        return read
    ended = _drained(oracle, b"", read)
    return ended._replace(outcome="cut") if ended.outcome in ("refused", "open") else ended


def _drained(oracle: h11.Connection, data: bytes, read: Read) -> Read:
    oracle.receive_data(data)
    while True:
        try:
            found = oracle.next_event()
        except h11.RemoteProtocolError:
            return read._replace(outcome="refused")
        if isinstance(found, h11.Response):
            read = Read("open", found.status_code, tuple(found.headers))
        elif isinstance(found, h11.Data):
            read = read._replace(body=read.body + found.data)
        elif isinstance(found, h11.EndOfMessage):
            return read._replace(outcome="whole")
        elif found is h11.NEED_DATA or isinstance(found, h11.ConnectionClosed):
            return read


def head_of(data: bytes) -> bytes:
    """Return the heads of an answer as h11 delimits them: interim ones and the final one."""
    end = 0
    while found := re.compile(rb"\n\r?\n").search(data, end):
        interim = re.match(rb"HTTP/1\.\d 1\d\d", data[end:])
        end = found.end()
        if not interim:
            break
    return data[:end] if end else data


def body_of(data: bytes) -> bytes:
    return data[len(head_of(data)) :]


CONTROL = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
BARE = rb"(?<!\r)\n|\r(?!\n)"
NAMED = rb"(?im)^(?:content-length|transfer-encoding)[ \t]*:"

# Where we refuse what h11 takes: others could read it in another way, or it has no honest use.
STRICTER = {
    "a bare CR or LF in a head": lambda data: re.search(BARE, head_of(data)),
    "a folded header": lambda data: re.search(rb"\n[ \t]", head_of(data)),
    "a control character in a header": lambda data: re.search(CONTROL, head_of(data)),
    "two framings": lambda data: (
        len(re.findall(NAMED, head_of(data))) > 1
        or re.search(rb"(?im)^content-length:[^\r\n]*,", head_of(data))
    ),
    "a length in an interim answer": lambda data: (
        re.match(rb"HTTP/1\.\d 1", data) and re.search(NAMED, head_of(data))
    ),
    "a status beyond 599": lambda data: re.search(rb"(?m)^HTTP/1\.\d [6-9]\d\d", head_of(data)),
    "chunks in HTTP/1.0": lambda data: re.search(
        rb"(?ism)HTTP/1\.0 [2-9].*^transfer-encoding", head_of(data)
    ),
    "a version between 1.0 and 1.1, or beyond": lambda data: re.search(
        rb"(?m)^HTTP/(?!1\.[01] )", head_of(data)
    ),
    "a bare CR or LF, or a control character, in a chunk's line": lambda data: re.search(
        BARE + b"|" + CONTROL, body_of(data)
    ),
    "white space after a chunk's size": lambda data: re.search(rb"(?m)^[0-9a-fA-F]+[ \t]", body_of(data)),
    "a chunk's extension that is not name=value": lambda data: re.search(
        rb"(?m)^[0-9a-fA-F]+[ \t]*;", body_of(data)
    ),
    "a trailer that is folded, or would frame a body": lambda data: re.search(
        rb"(?im)\n[ \t]|" + NAMED[5:], body_of(data)
    ),
    "a chunk or body beyond 2**64 bytes": lambda data: re.search(rb"[0-9a-fA-F]{16}", data),
}

# Where we take what h11 refuses.
LOOSER = {
    "the reason is not looked at; it is never passed on": lambda data: re.search(
        rb"(?m)^HTTP/1\.\d \d\d\d .*?[\x00-\x08\x0b-\x1f\x7f]", head_of(data)
    ),
    "a number may begin with any number of zeros": lambda data: re.search(rb"0{4}", data),
}


def agree(data: bytes, *, is_head: bool = False, ends: bool = True) -> None:
    mine, other = ours([data], is_head=is_head, ends=ends), theirs(data, is_head=is_head, ends=ends)
    if not mine.status and not other.status:
        event("no head")  # whether refused at once or only when it is whole
    elif mine.outcome == "refused" and other.outcome != "refused":
        reasons = [why for why, holds in STRICTER.items() if holds(data)]
        if (
            other.outcome != "whole"
            and theirs(data + b"\r\n\r\n", is_head=is_head, ends=ends).outcome == "refused"
        ):
            reasons.append("h11 refuses a line once it has ended")
        assert reasons, (data, other)
        event(f"stricter: {reasons[0]}")
    elif other.outcome == "refused" and mine.outcome != "refused":
        reasons = [why for why, holds in LOOSER.items() if holds(data)]
        assert reasons, (data, mine)
        event(f"looser: {reasons[0]}")
    elif mine.outcome != "refused":
        assert mine == other, data
    event(mine.outcome)


NAMES = st.sampled_from(
    [b"X", b"Content-Type", b"Set-Cookie", b"ETag", b"Connection", b"Keep-Alive", b"x_y", b"Trailer"]
)
VALUES = st.sampled_from(
    [
        b"",
        b"a",
        b"text/event-stream",
        b"close",
        b"keep-alive",
        b"a, b",
        b" a ",
        b"a\tb ",
        b"\xff\x80",
        b"x" * 70,
        b"upgrade",
    ]
)
ODD_LINES = st.sampled_from(
    [
        b"X: a\r\n b",
        b" X: a",
        b"X : a",
        b"X",
        b": a",
        b"X: a\rb",
        b"X: a\nY: b",
        b"X: \x00",
        b"X: \x01",
        b"X: \x7f",
        b"X\x80: a",
        b"Content-Length: 3",
        b"Content-Length: 3, 3",
        b"Content-Length: +3",
        b"Content-Length: 0x3",
        b"Content-Length: ",
        b"Content-Length: 3 3",
        b"Content-Length: 99999999999999999999",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, gzip",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding: chunked ",
        b"Transfer-Encoding : chunked",
        b"Upgrade: h2c",
        b"Connection: upgrade",
    ]
)
STATUS = st.sampled_from(
    [b"HTTP/1.1 200 OK"] * 6
    + [b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 404", b"HTTP/1.1 500 "]
    + [b"HTTP/1.0 200 OK", b"HTTP/1.1 599 X", b"HTTP/1.1 429 Too Many \xfcReqs", b"HTTP/1.1 205 Reset"]
)
ODD_STATUS = st.sampled_from(
    [
        b"HTTP/2.0 200 OK",
        b"HTTP/0.9 200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/1.1 600 X",
        b"HTTP/1.1 099 X",
        b"HTTP/1.1 20 X",
        b"HTTP/1.1 2000 X",
        b"HTTP/1.1  200 X",
        b"http/1.1 200 OK",
        b"HTTP/1.1 200 a\x00b",
        b"HTTP/1.1 101 Switching",
        b"\r\nHTTP/1.1 200 OK",
        b"\nHTTP/1.1 200 OK",
        b"ICE/1.0 200 OK",
        b"RTSP/1.0 200 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1",
        b"",
    ]
)
INTERIM = st.sampled_from(
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
        b"HTTP/1.1 100\r\n\r\n",
        b"HTTP/1.1 100 C\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 102 P\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 C\r\n\r\n\r\n",
        b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ]
)
BODIES = st.binary(max_size=12) | st.sampled_from(
    [b"hello", b"\r\n\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"z" * 300]
)
EXTENSIONS = st.sampled_from(
    [b"", b"", b";a", b";a=b", b';a="b c"', b";a=b;c", b" ", b";", b"; a", b";a\x00", b";a=\xff"]
)
TRAILERS = st.sampled_from(
    [
        b"",
        b"",
        b"T: 1\r\n",
        b"T: 1\r\nU: \r\n",
        b"T: 1\r\n 2\r\n",
        b"Content-Length: 5\r\n",
        b"T\r\n",
        b"T: 1\n",
    ]
)
ODD_CHUNKS = st.sampled_from(
    [
        b"-1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"1\r\nab\r\n",
        b"1\na\r\n",
        b"\r\n",
        b"g\r\n",
        b"1\r\na",
        b"f" * 17 + b"\r\n",
        b"1\r\na\n",
        b" 1\r\na\r\n",
    ]
)


@st.composite
def chunked(draw: st.DrawFn) -> bytes:
    parts = []
    for piece in draw(st.lists(BODIES, max_size=3)):
        if piece:
            size = b"%X" if draw(st.booleans()) else b"0%x"
            parts.append(size % len(piece) + draw(EXTENSIONS) + b"\r\n" + piece + b"\r\n")
    if draw(st.integers(0, 5)) == 0:
        parts.append(draw(ODD_CHUNKS))
    return b"".join(parts) + b"0" + draw(EXTENSIONS) + b"\r\n" + draw(TRAILERS) + b"\r\n"


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    lines = [draw(STATUS if draw(st.integers(0, 7)) else ODD_STATUS)]
    lines += [b"%b: %b" % pair for pair in draw(st.lists(st.tuples(NAMES, VALUES), max_size=3))]
    framing = draw(st.sampled_from(["length", "length", "chunked", "chunked", "close"]))
    body = draw(chunked()) if framing == "chunked" else draw(BODIES)
    if framing == "length":
        wrong = draw(st.sampled_from([0] * 8 + [1, -1]))
        lines.append(b"Content-Length: %d" % max(0, len(body) + wrong))
    elif framing == "chunked":
        lines.append(draw(st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding:CHUNKED"])))
    if draw(st.integers(0, 3)) == 0:
        lines.insert(draw(st.integers(1, len(lines))), draw(ODD_LINES))
    if draw(st.integers(0, 4)) == 0:
        lines = draw(st.permutations(lines[1:])) and [lines[0], *draw(st.permutations(lines[1:]))]
    before = b"".join(draw(st.lists(INTERIM, max_size=2))) if draw(st.integers(0, 3)) == 0 else b""
    after = draw(st.sampled_from([b""] * 6 + [b"x", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]))
    data = before + b"\r\n".join(lines) + b"\r\n\r\n" + body + after
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 5)) == 0 else data


@thorough
@given(damaged(answers()), st.booleans(), st.booleans())
def test_an_answer_means_to_us_what_it_means_to_h11(data: bytes, is_head: bool, ends: bool) -> None:
    agree(data, is_head=is_head, ends=ends)


@thorough
@given(damaged(answers()), places, st.booleans(), st.booleans())
def test_an_answer_is_the_same_however_it_is_cut_into_reads(
    data: bytes, where: list[int], is_head: bool, ends: bool
) -> None:
    whole = ours([data], is_head=is_head, ends=ends)
    assert ours(cut(data, where), is_head=is_head, ends=ends) == whole


@brief
@given(damaged(answers()).filter(lambda data: LONG or len(data) <= SHORT_BYTES), st.booleans())
def test_a_short_answer_is_the_same_in_every_cut(data: bytes, is_head: bool) -> None:
    whole = ours([data], is_head=is_head, ends=True)
    for pieces in every_cut(data):
        assert ours(pieces, is_head=is_head, ends=True) == whole, pieces


@brief
@given(st.lists(answers(), min_size=2, max_size=4), places)
def test_answers_that_follow_each_other_on_a_connection_do_not_leak_into_each_other(
    answered: list[bytes], where: list[int]
) -> None:
    parser = ResponseParser()
    for data in answered:
        parser.begin(is_head=False)
        alone = ours([data], is_head=False, ends=False)
        body = b""
        try:
            for piece in cut(data, where):
                if parser.done:
                    break
                parser.feed(piece)
                body += parser.take()
        except UpstreamProtocolError:
            assert alone.outcome in ("refused", "whole")
        if alone.outcome == "whole":
            assert (parser.status, tuple(parser.headers), body + parser.take()) == (
                alone.status,
                tuple(parser.headers),
                alone.body,
            )


@pytest.mark.parametrize("why", STRICTER)
def test_every_reason_to_be_stricter_than_h11_has_an_example(why: str) -> None:
    data = STRICTER_EXAMPLES[why]
    assert theirs(data, is_head=False, ends=True).outcome in ("whole", "cut"), data
    assert ours([data], is_head=False, ends=True).outcome == "refused", data
    assert STRICTER[why](data)


@pytest.mark.parametrize("why", LOOSER)
def test_every_reason_to_be_looser_than_h11_has_an_example(why: str) -> None:
    data = LOOSER_EXAMPLES[why]
    assert theirs(data, is_head=False, ends=True).outcome == "refused", data
    assert ours([data], is_head=False, ends=True).outcome == "whole", data
    assert LOOSER[why](data)


_OK = b"HTTP/1.1 200 OK\r\n"
_LENGTH = b"Content-Length: 1\r\n\r\na"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
STRICTER_EXAMPLES = {
    "a bare CR or LF in a head": b"HTTP/1.1 200 OK\nContent-Length: 1\n\na",
    "a folded header": _OK + b"X: a\r\n b\r\n" + _LENGTH,
    "a control character in a header": _OK + b"X: \x01\r\n" + _LENGTH,
    "two framings": _OK + b"Content-Length: 1\r\n" + _LENGTH,
    "a length in an interim answer": b"HTTP/1.1 100 C\r\nContent-Length: 1\r\n\r\n" + _OK + _LENGTH,
    "a status beyond 599": b"HTTP/1.1 600 X\r\n" + _LENGTH,
    "chunks in HTTP/1.0": _CHUNKED.replace(b"1.1", b"1.0") + b"1\r\na\r\n0\r\n\r\n",
    "a version between 1.0 and 1.1, or beyond": b"HTTP/2.0 200 OK\r\n" + _LENGTH,
    "a bare CR or LF, or a control character, in a chunk's line": _CHUNKED + b"1;a\x01\r\na\r\n0\r\n\r\n",
    "white space after a chunk's size": _CHUNKED + b"1 \r\na\r\n0\r\n\r\n",
    "a chunk's extension that is not name=value": _CHUNKED + b"1; a\r\na\r\n0\r\n\r\n",
    "a trailer that is folded, or would frame a body": _CHUNKED + b"0\r\nContent-Length: 1\r\n\r\n",
    "a chunk or body beyond 2**64 bytes": _OK + b"Content-Length: 18446744073709551616\r\n\r\n",
}
LOOSER_EXAMPLES = {
    "the reason is not looked at; it is never passed on": b"HTTP/1.1 200 a\x00b\r\n" + _LENGTH,
    "a number may begin with any number of zeros": _OK + b"Content-Length: " + b"0" * 30 + b"1\r\n\r\na",
}
