import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from httprelay import UnsafeRequest
from httprelay.headers import HOP_BY_HOP
from httprelay.request import BodyFraming, body_framing, request_head

NO_BODY = BodyFraming()


def head(*headers: tuple[bytes, bytes], path: bytes = b"/a", framing: BodyFraming = NO_BODY) -> bytes:
    return request_head("POST", path, headers, b"up:81", framing)


def test_a_head_is_written_with_the_targets_host_or_the_given_one() -> None:
    assert head((b"X-A", b"1")) == b"POST /a HTTP/1.1\r\nhost: up:81\r\nx-a: 1\r\n\r\n"
    assert head((b"x-a", b"1"), (b"HOST", b"b")) == b"POST /a HTTP/1.1\r\nhost: b\r\nx-a: 1\r\n\r\n"


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP | {b"content-length"}))
def test_what_is_for_one_hop_or_frames_a_body_is_never_sent_on(name: bytes) -> None:
    for spelling in (name, name.upper(), name.title()):
        assert head((spelling, b"1")) == head()


def test_what_connection_names_is_not_sent_on() -> None:
    assert head((b"x-a", b"1"), (b"Connection", b"X-A, close"), (b"x-b", b"2")) == head((b"x-b", b"2"))


def test_connection_cannot_take_away_the_host_or_the_length() -> None:
    sent = head((b"connection", b"host, content-length"), framing=BodyFraming(b"5"))
    assert sent == b"POST /a HTTP/1.1\r\nhost: up:81\r\ncontent-length: 5\r\n\r\n"


@pytest.mark.parametrize(
    "path", [b"", b"a", b"/a b", b"/a\r\n", b"/\x00", b"/\xff", b"http://a/", b"/a HTTP/1.1\r\nx: y"]
)
def test_a_path_that_would_split_the_request_is_refused(path: bytes) -> None:
    with pytest.raises(UnsafeRequest):
        head(path=path)


@pytest.mark.parametrize(
    "pair",
    [
        (b"x", b"a\r\nb: c"),
        (b"x", b"a\nb"),
        (b"x", b"\x00"),
        (b"x y", b""),
        (b"x:", b""),
        (b"host", b"a\r\nb: c"),
    ],
)
def test_a_header_that_would_split_the_request_is_refused(pair: tuple[bytes, bytes]) -> None:
    with pytest.raises(UnsafeRequest):
        head(pair)


def test_a_body_is_framed_as_it_came_or_by_its_length() -> None:
    assert body_framing([(b"content-length", b"5")]) == (b"5", False)
    assert body_framing([(b"transfer-encoding", b"chunked")]) == (None, True)
    assert body_framing([(b"transfer-encoding", b"chunked")], b"abc") == (b"3", False)
    assert body_framing([]) == (None, False)
    assert [body_framing([], body).has_body for body in (None, b"", b"a")] == [False, False, True]
    assert head(framing=BodyFraming(chunked=True)).endswith(b"transfer-encoding: chunked\r\n\r\n")


@given(
    st.sampled_from(["GET", "POST", "DELETE"]),
    st.text("/a?=&%;", max_size=9),
    st.lists(
        st.tuples(st.text("xY-_.!", min_size=1, max_size=4), st.text("a\t \xff,", max_size=5)), max_size=5
    ),
    st.sampled_from([BodyFraming(), BodyFraming(b"0"), BodyFraming(b"7"), BodyFraming(chunked=True)]),
)
def test_h11_reads_in_a_head_what_was_written(
    method: str, path: str, sent: list[tuple[str, str]], framing: BodyFraming
) -> None:
    headers = [(name.encode(), value.strip().encode("latin-1")) for name, value in sent]
    oracle = h11.Connection(h11.SERVER)
    oracle.receive_data(request_head(method, f"/{path}".encode(), headers, b"up", framing))
    asked = oracle.next_event()
    assert isinstance(asked, h11.Request)
    told = list(asked.headers)
    assert (asked.method, asked.target) == (method.encode(), f"/{path}".encode())
    assert told[0] == (b"host", b"up")
    assert told[1 : 1 + len(headers)] == [(name.lower(), value) for name, value in headers]
    assert len(told) == 1 + len(headers) + (framing != BodyFraming())
