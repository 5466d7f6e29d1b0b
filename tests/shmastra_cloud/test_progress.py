import time

from shmastra_cloud.progress import Progress


def test_a_long_step_says_that_it_goes_on() -> None:
    said: list[str] = []
    with Progress(said.append, 0.01) as progress:
        progress("building")
        deadline = time.monotonic() + 10
        while len(said) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
    assert said[0] == "building"
    assert said[2] == "building (0 s)"
    count = len(said)
    time.sleep(0.05)
    assert len(said) == count


def test_nothing_is_said_before_a_step_begins() -> None:
    said: list[str] = []
    with Progress(said.append, 0.01):
        time.sleep(0.05)
    assert not said
