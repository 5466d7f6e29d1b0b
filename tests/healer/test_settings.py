import pytest

from shmastra_healer.settings import Patience, patience


def test_the_first_source_with_a_sound_value_wins() -> None:
    told = patience({"SHMASTRA_HEALER_POLL_SECONDS": "x"}, {"SHMASTRA_HEALER_POLL_SECONDS": "2.5"})
    assert told == Patience(poll=2.5)


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "1e9", "ten", "0.01"])
def test_rubbish_counts_as_unset(text: str) -> None:
    assert patience({"SHMASTRA_HEALER_START_SECONDS": text}) == Patience()


def test_three_attempts_end_before_the_cloud_stops_waiting() -> None:
    told = Patience()
    restarts = 3 * (told.start + 8)
    rests = told.rest * (1 + 3 + 9) * 1.2
    assert restarts + rests < 180
