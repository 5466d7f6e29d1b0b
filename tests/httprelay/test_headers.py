import pytest
from hypothesis import given
from hypothesis import strategies as st

from httprelay import without_hops
from httprelay.headers import _KNOWN, LINE_STARTS, end_to_end, is_events, joined


def test_a_connection_header_names_what_is_for_one_hop() -> None:
    sent = [(b"connection", b"x-a, close"), (b"x-a", b"1"), (b"x-b", b"2"), (b"te", b"trailers")]
    assert without_hops(sent) == [(b"x-b", b"2")]


def test_a_connection_header_cannot_take_the_framing_away() -> None:
    sent = [(b"connection", b"Content-Length, HOST , x"), (b"content-length", b"1"), (b"host", b"a")]
    assert without_hops(sent) == sent[1:]


def test_several_connection_headers_count() -> None:
    sent = [
        (b"x-a", b"1"),
        (b"connection", b"x-a"),
        (b"connection", b"\tX-B ,"),
        (b"x-b", b"2"),
        (b"x-c", b"3"),
    ]
    assert without_hops(iter(sent)) == [(b"x-c", b"3")]


@pytest.mark.parametrize("line", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\x00b", b"a\x7f", b"\x1f", b"\r\n"])
def test_a_line_that_could_be_read_as_two_is_never_joined(line: bytes) -> None:
    with pytest.raises(ValueError, match="may not be sent"):
        joined([b"x: " + line, b"", b""])


@pytest.mark.parametrize("name", [b"", b"x y", b"x:", b"x\r\ny", b"\xff", b"x\x00"])
def test_a_name_that_is_no_token_has_no_line(name: bytes) -> None:
    with pytest.raises(ValueError, match="name"):
        LINE_STARTS[name]


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_joined_lines_come_apart_again(lines: list[bytes]) -> None:
    try:
        text = joined(lines)
    except ValueError:
        assert any((byte < 32 and byte != 9) or byte == 127 for line in lines for byte in line) or not lines
    else:
        assert text.split(b"\r\n") == lines


def test_the_memory_of_names_is_bounded() -> None:
    for at in range(3 * _KNOWN):
        assert LINE_STARTS[b"X-%d" % at] == b"x-%d: " % at
    assert len(LINE_STARTS) <= _KNOWN
    LINE_STARTS[b"y" * 65]
    assert b"y" * 65 not in LINE_STARTS


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_promises_none(status: int) -> None:
    assert end_to_end(status, [(b"content-length", b"5"), (b"etag", b"x")]) == [(b"etag", b"x")]
    assert end_to_end(200, [(b"content-length", b"5")]) == [(b"content-length", b"5")]


def test_a_stream_of_events_is_one_whose_end_nothing_has_promised() -> None:
    kind = (b"content-type", b"Text/Event-Stream; charset=utf-8")
    assert is_events([kind])
    assert is_events([kind, (b"content-encoding", b"identity")])
    assert not is_events([kind, (b"content-length", b"5")])
    assert not is_events([kind, (b"content-encoding", b"gzip")])
    assert not is_events([(b"content-type", b"application/json")])
