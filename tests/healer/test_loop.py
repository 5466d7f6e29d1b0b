import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from tests.healer.sandboxes import (
    KEY,
    Cloud,
    calls,
    does,
    end,
    launch,
    lists,
    place_in,
    running_cloud,
    start_script,
    until,
)
from tests.support.cloud import free_port

from shmastra_healer.place import Place

PATIENCE = "POLL=0.3 QUICK=0.1 ANSWER=0.5 CURE=0.5 START=1.5 REST=0.1 ASIDE=2 STEADY=1 GAP=2"
SCRIPT = """
import sys
from pathlib import Path
from shmastra_healer.__main__ import main
from shmastra_healer.place import Place
project, home, start, pm2, port = sys.argv[1:]
main(Place(Path(project), Path(home), start, pm2, int(port)))
"""
SOURCE = Path(__file__).parents[2] / "healer/src"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with running_cloud() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, cloud: Cloud) -> Iterator[Place]:
    made = place_in(tmp_path, free_port(), cloud.url)
    lists(tmp_path, "online")
    yield made
    end(made)


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """End what a test that failed has left."""
    Running.started.clear()
    yield
    for process in Running.started:
        if process.poll() is None:
            process.kill()
            process.communicate()


class Running:
    """The healer as pm2 runs it: a process of its own."""

    started: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self, place: Place, *under: str) -> None:
        self.place = place
        environ = {
            f"SHMASTRA_HEALER_{name}_SECONDS": value
            for name, value in (one.split("=") for one in PATIENCE.split())
        }
        self.process = subprocess.Popen(
            [*under, sys.executable, "-B", "-c", SCRIPT, *map(str, place)],
            env={**os.environ, **environ, "PYTHONPATH": str(SOURCE)},
            stderr=subprocess.PIPE,
        )
        self.started.append(self.process)

    @property
    def log(self) -> str:
        path = self.place.project / ".logs/healer.log"
        return path.read_text() if path.is_file() else ""

    def stop(self) -> None:
        """End it as pm2 does, and see that it had nothing to complain about."""
        self.process.send_signal(signal.SIGINT)
        _, complaint = self.process.communicate(timeout=20)
        assert (self.process.returncode, complaint) == (0, b"")
        assert KEY not in self.log


@pytest.fixture
def healer(place: Place, tmp_path: Path) -> Iterator[Running]:
    launch(tmp_path, place)
    running = Running(place)
    until(lambda: "healthy" in running.log)
    yield running
    running.stop()


def pid(place: Place) -> int:
    found = place.pid()
    assert found is not None
    return found


def test_a_healthy_server_is_left_alone(healer: Running, cloud: Cloud, tmp_path: Path) -> None:
    time.sleep(1)
    assert (cloud.told, calls(tmp_path)) == ([], [])


def test_a_killed_server_is_started_and_both_are_reported(
    healer: Running, place: Place, cloud: Cloud, tmp_path: Path
) -> None:
    does(tmp_path, start_script(tmp_path, place))
    lists(tmp_path, "stopped")
    os.kill(pid(place), signal.SIGKILL)
    until(lambda: cloud.told == ["healing", "ready"])
    assert calls(tmp_path) == ["start --only shmastra"]
    until(lambda: place.last_report() == "ready")


def test_one_that_hangs_is_noticed(healer: Running, place: Place, cloud: Cloud, tmp_path: Path) -> None:
    old = pid(place)
    does(tmp_path, f"kill -9 {old}; {start_script(tmp_path, place)}")
    os.kill(old, signal.SIGSTOP)
    until(lambda: cloud.told == ["healing", "ready"])
    assert pid(place) != old


def test_one_that_cannot_start_is_broken_with_its_last_words_and_ready_once_mended(
    healer: Running, place: Place, cloud: Cloud, tmp_path: Path
) -> None:
    log = place.project / ".logs/shmastra.log"
    log.write_text("an older line\n")
    does(tmp_path, f"echo 'Error: no moon, key {KEY}' >> {log}; exit 1")
    lists(tmp_path, "errored")
    os.kill(pid(place), signal.SIGKILL)
    until(lambda: "broken" in cloud.told)
    assert cloud.told == ["healing", "healing", "healing", "broken"]
    assert [report["attempt"] for report in cloud.reports] == [1, 2, 3, 3]
    assert "Error: no moon, key [hidden]" in str(cloud.reports[-1]["error"])
    assert "older" not in str(cloud.reports[-1]["error"])
    launch(tmp_path, place)
    until(lambda: cloud.told[4:] == ["healing", "ready"])


def test_a_cloud_that_is_at_work_is_left_to_it(
    healer: Running, place: Place, cloud: Cloud, tmp_path: Path
) -> None:
    cloud.statuses = [409] * 2
    lists(tmp_path, "stopped")
    os.kill(pid(place), signal.SIGKILL)
    until(lambda: "standing back" in healer.log)
    assert calls(tmp_path) in ([], ["start --only shmastra"])
    launch(tmp_path, place)
    until(lambda: healer.log.count("is healthy") == 2)


def test_without_a_cloud_the_repair_goes_on(healer: Running, place: Place, tmp_path: Path) -> None:
    (place.project / ".env").unlink()
    does(tmp_path, start_script(tmp_path, place))
    lists(tmp_path, "stopped")
    old = pid(place)
    os.kill(old, signal.SIGKILL)
    until(lambda: healer.log.count("is healthy") == 2)
    assert pid(place) != old


def test_a_freeze_is_no_crash(healer: Running, place: Place, cloud: Cloud, tmp_path: Path) -> None:
    healer.process.send_signal(signal.SIGSTOP)
    os.kill(pid(place), signal.SIGSTOP)
    time.sleep(3)
    healer.process.send_signal(signal.SIGCONT)
    threading.Timer(0.2, os.kill, (pid(place), signal.SIGCONT)).start()
    until(lambda: "woke" in healer.log)
    time.sleep(1)
    assert (cloud.told, calls(tmp_path)) == ([], [])


def test_what_a_killed_healer_began_the_next_one_ends(
    healer: Running, place: Place, cloud: Cloud, tmp_path: Path
) -> None:
    lists(tmp_path, "stopped")
    os.kill(pid(place), signal.SIGKILL)
    until(lambda: cloud.told)
    healer.process.kill()
    healer.process.communicate()
    launch(tmp_path, place)
    healer.process = Running(place).process
    until(lambda: cloud.told[-1] == "ready")


def test_a_full_disk_and_a_missing_pm2_stop_nothing(place: Place, cloud: Cloud) -> None:
    (place.project / ".logs/healer.log").symlink_to("/dev/full")
    (place.project / ".shmastra/healer.json.new").symlink_to("/dev/full")
    running = Running(place._replace(start="/no/start", pm2="/no/pm2"))
    until(lambda: cloud.told[-1:] == ["broken"])
    running.process.send_signal(signal.SIGINT)
    _, complaint = running.process.communicate(timeout=20)
    assert (running.process.returncode, complaint) == (0, b"")


def test_when_pm2_dies_everything_is_started_anew_and_this_healer_makes_room(
    place: Place, cloud: Cloud, tmp_path: Path
) -> None:
    old = launch(tmp_path, place)
    pm2 = Running(place, "/bin/sh", "-c", '"$@" & wait', "sh")
    until(lambda: "is healthy" in pm2.log)
    does(tmp_path, start_script(tmp_path, place))
    pm2.process.kill()
    until(lambda: cloud.told == ["healing"])
    until(lambda: calls(tmp_path) == ["start "])
    until(lambda: "this one ends" in pm2.log)
    assert pm2.process.communicate(timeout=20)[1] == b""  # whoever held it has ended
    until(lambda: place.pid() != old)
    assert place.last_report() == "healing"  # so that the next healer reports the rest
