import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from httprelay.answer import Answer
from httprelay.headers import Headers


def written(
    method: str, version: str, status: int, headers: Headers, pieces: list[bytes]
) -> tuple[bytes, bool]:
    answer = Answer(method, version, keep_alive=version == "1.1")
    data = answer.head(status, headers)
    for piece in pieces:
        data += answer.piece(piece, more=True)
    return data + answer.piece(b"", more=False), answer.keep_alive


@given(
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.sampled_from(["1.1", "1.0"]),
    st.sampled_from([200, 204, 304, 404, 500]),
    st.lists(st.binary(max_size=9), max_size=3),
    st.booleans(),
    st.booleans(),
)
def test_h11_reads_in_an_answer_what_was_written(
    method: str, version: str, status: int, pieces: list[bytes], told: bool, closes: bool
) -> None:
    pieces = [] if status in (204, 304) else pieces
    body = b"".join(pieces)
    headers = [(b"X-A", b"1")]
    if told and status not in (204, 304):
        headers.append((b"Content-Length", b"%d" % len(body)))
    if closes:
        headers.append((b"connection", b"Close"))
    data, keep = written(method, version, status, headers, pieces)
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    answer = client.next_event()
    assert isinstance(answer, h11.Response)
    assert (answer.status_code, answer.headers[0]) == (status, (b"x-a", b"1"))
    if not keep:
        client.receive_data(b"")
    seen = b""
    while isinstance(found := client.next_event(), h11.Data):
        seen += found.data
    assert isinstance(found, h11.EndOfMessage)
    assert seen == (b"" if method == "HEAD" else body)
    assert ((b"connection", b"close") in [(name, value.lower()) for name, value in answer.headers]) == (
        not keep
    )
    assert keep == (version == "1.1" and not closes)


@pytest.mark.parametrize("header", [(b"x", b"a\r\nb: c"), (b"x y", b""), (b"transfer-encoding", b"chunked")])
def test_a_head_that_would_be_read_in_two_ways_is_not_written(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- each says something else
        Answer("GET", "1.1", keep_alive=True).head(200, [header])


@pytest.mark.parametrize("pieces", [[b"abc"], [b"a"], []])
def test_a_body_must_be_as_long_as_was_said(pieces: list[bytes]) -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        written("GET", "1.1", 200, [(b"content-length", b"2")], pieces)
