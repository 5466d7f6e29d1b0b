from typing import get_args

from shmastra_healer import events


def test_every_event_and_command_says_what_it_is() -> None:
    for one in (*get_args(events.Event), *get_args(events.Command)):
        assert one.__doc__
        assert not one.__doc__.startswith(f"{one.__name__}(")


def test_a_runner_that_starts_anew_is_another() -> None:
    assert events.Runner("starting", "1") != events.Runner("starting", "2")
