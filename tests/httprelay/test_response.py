import pytest

from httprelay import UpstreamClosed, UpstreamProtocolError
from httprelay.response import MAX_HEAD_BYTES, ResponseParser

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def parsed(*pieces: bytes, is_head: bool = False) -> tuple[ResponseParser, bytes]:
    parser, body = ResponseParser(), b""
    parser.begin(is_head=is_head)
    for piece in pieces:
        parser.feed(piece)
        body += parser.take()
    return parser, body


def test_a_head_in_several_reads_is_one_head() -> None:
    parser, body = parsed(
        b"HT", b"TP/1.1 2", b"00 OK\r\nX-", b"A: 1 ", b" \r\nContent-Length: 2\r\n\r", b"\nh", b"i"
    )
    assert (parser.status, parser.headers, body) == (200, [(b"x-a", b"1"), (b"content-length", b"2")], b"hi")
    assert (parser.done, parser.keep) == (True, True)


@pytest.mark.parametrize(
    ("answer", "keep"),
    [
        (OK + b"Content-Length: 0\r\n\r\n", True),
        (OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n", False),
        (OK + b"Content-Length: 0\r\nConnection: Keep-Alive, Close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
        (CHUNKED + b"0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", True),
    ],
)
def test_whether_a_connection_is_kept_is_the_answers_word(answer: bytes, keep: bool) -> None:
    parser, body = parsed(answer)
    assert (parser.done, parser.keep, body) == (True, keep, b"")


def test_the_answer_to_a_head_request_has_no_body_and_ends_the_connection() -> None:
    parser, _ = parsed(OK + b"Content-Length: 5\r\n\r\n", is_head=True)
    assert (parser.done, parser.keep) == (True, False)


def test_interim_answers_are_dropped_with_their_headers() -> None:
    parser, body = parsed(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\na"
    )
    assert (parser.status, parser.headers, body) == (200, [(b"content-length", b"1")], b"a")


def test_trailers_are_dropped_and_do_not_reach_the_next_answer() -> None:
    parser, body = parsed(CHUNKED + b"1;a=b\r\nx\r\n0\r\nX-Trailer: 1\r\nSet-Cookie: a=b\r\n\r\n")
    assert (parser.keep, body) == (True, b"x")
    parser.begin(is_head=False)
    parser.feed(OK + b"Content-Length: 1\r\n\r\na")
    assert (parser.headers, parser.take()) == ([(b"content-length", b"1")], b"a")


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\na\r\n0\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
        OK + b"Content-Length: 1, 1\r\n\r\na",
        OK + b"Content-Length: +1\r\n\r\na",
        OK + b"Content-Length: \r\n\r\na",
        OK + b"Transfer-Encoding: gzip\r\n\r\na",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked, identity\r\n\r\n1\r\na\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: xchunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding : chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n",
        OK + b"X: a\r\n b\r\n\r\n",
        OK + b"X: a\r\n\tb\r\n\r\n",
        OK + b"X: a\rb\r\n\r\n",
        OK + b"X: a\nY: b\r\n\r\n",
        OK + b"X: a\x00\r\n\r\n",
        OK + b"X : a\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"\r\n" + OK + b"\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"ICE/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 099 X\r\n\r\n",
        b"HTTP/1.1 600 X\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 C\r\nContent-Length: 1\r\n\r\n" + OK + b"\r\n",
        b"HTTP/1.1 100 C\r\n\r\n\r\n" + OK + b"\r\n",
        b"HTTP/1.1 100 C\r\n\r\nRTSP/1.0 200 OK\r\n\r\n",
    ],
)
def test_an_answer_that_could_be_read_in_two_ways_is_refused(answer: bytes) -> None:
    for pieces in ([answer], [answer[:20], answer[20:]], [answer[at : at + 1] for at in range(len(answer))]):
        with pytest.raises(UpstreamProtocolError):
            parsed(*pieces)


@pytest.mark.parametrize(
    "chunks",
    [b"1 \r\na\r\n", b"1\na\r\n", b"1\r\nab\r\n", b"0x1\r\na\r\n", b"-1\r\n", b"\r\n", b"f" * 17 + b"\r\n"],
)
def test_broken_chunks_are_refused(chunks: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        parsed(CHUNKED + chunks + b"0\r\n\r\n")


@pytest.mark.parametrize("more", [b"x", OK + b"\r\n", b"0\r\n\r\n"])
def test_what_follows_an_answer_is_never_read_as_another_one(more: bytes) -> None:
    for answer in (OK + b"Content-Length: 1\r\n\r\na", CHUNKED + b"0\r\n\r\n", b"HTTP/1.1 204 N\r\n\r\n"):
        parser = ResponseParser()
        parser.begin(is_head=False)
        with pytest.raises(UpstreamProtocolError):
            parser.feed(answer + more)
        assert (parser.done, parser.keep) == (True, False)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 2", OK, OK + b"Content-Length: 2\r\n\r\na", CHUNKED + b"1\r\na\r\n0\r\n"]
)
def test_an_answer_that_is_cut_is_not_whole(answer: bytes) -> None:
    parser, _ = parsed(answer) if answer else (ResponseParser(), b"")
    with pytest.raises(UpstreamClosed):
        parser.end()


def test_an_answer_without_a_length_lasts_until_the_connection_does() -> None:
    parser, body = parsed(OK + b"\r\nhel", b"lo")
    assert (parser.done, body) == (False, b"hello")
    parser.end()
    assert (parser.done, parser.keep) == (True, False)


def head_of_size(size: int) -> bytes:
    head = OK + b"Content-Length: 2\r\nX: "
    return head + b"y" * (size - len(head) - 4) + b"\r\n\r\n"


@pytest.mark.parametrize("step", [7_001, 65_536, 1_000_000])
def test_a_heads_bound_is_the_same_however_it_arrives(step: int) -> None:
    for size, fits in ((MAX_HEAD_BYTES, True), (MAX_HEAD_BYTES + 1, False)):
        data = head_of_size(size) + b"hi"
        pieces = [data[at : at + step] for at in range(0, len(data), step)]
        if fits:
            assert parsed(*pieces)[1] == b"hi"
        else:
            with pytest.raises(UpstreamProtocolError, match="too large"):
                parsed(*pieces)


def test_interim_answers_without_an_end_are_refused() -> None:
    with pytest.raises(UpstreamProtocolError, match="too large"):
        parsed(*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 4000)


@pytest.mark.parametrize("begun", [b"0\r\nX: ", b"1;a="])
def test_a_trailer_or_a_chunks_line_without_an_end_is_refused(begun: bytes) -> None:
    with pytest.raises(UpstreamProtocolError, match="too large"):
        parsed(CHUNKED + begun, *[b"y" * 1000] * 70)


def test_a_long_body_is_no_trailer() -> None:
    parser, body = parsed(CHUNKED + b"%x\r\n" % 200_000, *[b"y" * 1000] * 200, b"\r\n0\r\n\r\n")
    assert (parser.done, len(body)) == (True, 200_000)


def test_a_parser_that_has_let_go_can_begin_again() -> None:
    parser, _ = parsed(OK + b"Content-Length: 0\r\n\r\n")
    parser.close()
    parser.begin(is_head=False)
    parser.feed(OK + b"Content-Length: 1\r\n\r\na")
    assert parser.take() == b"a"
