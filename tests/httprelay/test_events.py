import pytest
from hypothesis import given
from hypothesis import strategies as st

from httprelay.events import MAX_EVENT_BYTES, WholeEvents


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_whole_events_pass_at_once_and_a_broken_one_never_does(end: bytes) -> None:
    events = WholeEvents()
    assert events.feed(b"data: 1" + end) == b"data: 1" + end
    assert events.feed(b"data: 2" + end + b"data: 3") == b"data: 2" + end
    assert events.feed(end[:1]) == b""
    assert events.feed(end[1:]) == b"data: 3" + end
    assert events.feed(b"data: 4") == b""
    assert events.cut(b"data: last\n\n") == b"data: last\n\n"


@given(st.lists(st.text("da:1 \n\r", max_size=9), max_size=9))
def test_nothing_is_lost_or_added(pieces: list[str]) -> None:
    events = WholeEvents()
    passed = b"".join(events.feed(piece.encode()) for piece in pieces)
    assert passed + events.rest() == "".join(pieces).encode()


def test_an_event_beyond_the_bound_passes_in_pieces_and_is_ended_before_another() -> None:
    events = WholeEvents()
    big = b"data: " + b"x" * MAX_EVENT_BYTES
    assert events.feed(big) == big
    assert events.cut(b"data: last\n\n") == b"\n\ndata: last\n\n"
    assert events.feed(b"y\n\n") == b"y\n\n"
    assert events.cut(b"data: last\n\n") == b"data: last\n\n"
