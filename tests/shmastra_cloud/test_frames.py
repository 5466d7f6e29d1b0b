import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmastra_cloud.frames import MAX_PAYLOAD, BadFrame, FrameReader, Kind, frame


@given(st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=50)), max_size=8), st.integers(1, 9))
def test_frames_survive_being_cut_anywhere(sent: list[tuple[Kind, bytes]], size: int) -> None:
    stream = b"".join(frame(kind, data) for kind, data in sent)
    reader = FrameReader()
    got = [one for i in range(0, len(stream), size) for one in reader.feed(stream[i : i + size])]
    assert got == sent


def test_what_is_too_long_for_one_becomes_several() -> None:
    data = b"x" * (MAX_PAYLOAD + 1)
    got = list(FrameReader().feed(frame(Kind.OUT, data)))
    assert [len(piece) for _, piece in got] == [MAX_PAYLOAD, 1]


@pytest.mark.parametrize("rubbish", [b"\x09\0\0\0\0", b"HTTP/1.1 500", b"\x01\xff\xff\xff\xff"])
def test_rubbish_is_refused_without_waiting_for_more(rubbish: bytes) -> None:
    with pytest.raises(BadFrame):
        list(FrameReader().feed(rubbish))
