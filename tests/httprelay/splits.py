"""Ways to cut a message into reads, and how thoroughly to try them."""

import os
from collections.abc import Iterator

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LONG = os.environ.get("SHMASTRA_FUZZ") == "long"
SHORT_BYTES = 120

# Deterministic in the suite, so that it fails for who broke it; `make fuzz` looks further each time.
thorough = settings(
    max_examples=5_000 if LONG else 200,
    derandomize=not LONG,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
brief = settings(thorough, max_examples=500 if LONG else 40)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return the pieces between places; none is empty."""
    ends = sorted({place % len(data) for place in places} - {0}) if data else []
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


def every_cut(data: bytes) -> Iterator[list[bytes]]:
    """Yield each way to read a message in two, and the one that reads byte by byte."""
    for place in range(1, len(data)):
        yield [data[:place], data[place:]]
    yield [data[at : at + 1] for at in range(len(data))]


places = st.lists(st.integers(0, 4000), max_size=8)


@st.composite
def damaged(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """Draw a message, sometimes with some bytes changed, put in or left out."""
    data = bytearray(draw(messages))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 1))] = draw(
            st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b"\x00", b"\x0b", b":", b",", b";"])
            | st.binary(max_size=2)
        )
    return bytes(data)
