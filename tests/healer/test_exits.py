import subprocess
import time
from pathlib import Path

import pytest
from tests.healer.sandboxes import place_in

from shmastra_healer.exits import Clock, Exits
from shmastra_healer.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_in(tmp_path)


def started(place: Place, *words: str) -> subprocess.Popen[bytes]:
    """Start a process that pm2's pid file names."""
    process = subprocess.Popen(words or ("sleep", "60"))
    (place.pm2_home / "pids/shmastra-0.pid").write_text(str(process.pid))
    return process


def test_an_end_is_seen_at_once_and_once(place: Place) -> None:
    exits = Exits(place)
    with started(place) as process:
        exits.look()
        assert not exits.wait(0.05)
        process.kill()
        began = time.monotonic()
        assert exits.wait(30)
        assert time.monotonic() - began < 10
        exits.look()  # nobody has buried it yet, and the pid file still names it
        assert not exits.wait(0.05)
    with started(place) as another:
        exits.look()
        another.kill()
        assert exits.wait(30)


def test_without_a_pid_file_or_a_process_it_only_waits(place: Place) -> None:
    exits = Exits(place)
    exits.look()
    assert not exits.wait(0.01)
    with started(place, "true"):
        pass
    exits.look()
    assert not exits.wait(0.01)
    exits.end()


def test_what_was_watched_is_forgotten(place: Place) -> None:
    exits = Exits(place)
    with started(place) as old:
        exits.look()
        with started(place) as new:
            exits.renew()
            old.kill()
            assert not exits.wait(0.2)
            new.kill()
            assert exits.wait(10)


def test_a_process_is_ended(place: Place) -> None:
    exits = Exits(place)
    with started(place) as process:
        exits.look()
        exits.end()
        assert process.wait(5) == -15


def test_one_that_does_not_listen_is_killed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shmastra_healer.exits.END_SECONDS", 0.3)
    exits = Exits(place)
    with started(place, "sh", "-c", "trap '' TERM; echo; while :; do sleep 0.1; done") as process:
        time.sleep(0.3)
        exits.look()
        exits.end()
        assert process.wait(5) == -9


def test_a_clock_takes_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([(1.0, 1.0, 100.0), (2.0, 1.5, 95.0), (0.0, 0.0, 0.0), (1.0, 1.0, 900.0)])
    monkeypatch.setattr(Clock, "_read", staticmethod(lambda: next(readings)))
    clock = Clock()
    assert clock.longest() == 1.0
    clock.start()
    assert clock.longest() == 900.0
