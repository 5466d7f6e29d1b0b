import json
import os
import time
from pathlib import Path

import pytest
from tests.healer.sandboxes import place_in

from shmastra_healer.events import Runner
from shmastra_healer.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_in(tmp_path)


def test_nothing_there_reads_as_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path / "no", tmp_path / "no2")
    told = (place.env(), place.runner(), place.pid(), place.last_report(), place.log_tail())
    assert told == ({}, None, None, None, "")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"state": 1}', "[" * 100_000, "\x00", "\ud800"])
def test_rubbish_of_the_runner_reads_as_nothing(place: Place, text: str) -> None:
    path = place.project / ".shmastra/runner.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert place.runner() is None
    (place.project / ".shmastra/healer.json").write_bytes(path.read_bytes())
    assert place.last_report() is None


def test_what_stands_there_is_read_anew(place: Place) -> None:
    (place.project / ".env").write_text("CLOUD_URL=http://a\n")
    assert place.env() == {"CLOUD_URL": "http://a"}
    (place.project / ".env").write_text("CLOUD_URL=http://b\n")
    assert place.env() == {"CLOUD_URL": "http://b"}
    path = place.project / ".shmastra/runner.json"
    path.write_text(json.dumps({"state": "running", "since": "now", "pid": 7}))
    assert place.runner() == Runner("running", "now")


def test_a_pipe_in_place_of_a_file_holds_nobody_up(place: Place) -> None:
    (place.project / ".env").unlink()
    os.mkfifo(place.project / ".env")
    began = time.monotonic()
    assert place.env() == {}
    assert time.monotonic() - began < 2


def test_the_newest_pid_file_counts(place: Place) -> None:
    for name, pid, age in (("shmastra-0", "71", 9), ("shmastra-2", "72", 1), ("healer-1", "73", 0)):
        path = place.pm2_home / "pids" / f"{name}.pid"
        path.write_text(pid)
        os.utime(path, (time.time() - age,) * 2)
    assert place.pid() == 72
    (place.pm2_home / "pids/shmastra-2.pid").write_text("seventy")
    assert place.pid() is None


def test_a_tail_is_of_what_came_after(place: Place) -> None:
    log = place.project / ".logs/shmastra.log"
    log.write_text("before\n")
    begin = place.log_size()
    assert place.log_tail(begin) == "before"
    with log.open("a") as file:
        file.write("after\n")
    assert place.log_tail(begin) == "after"
    log.write_text("x\n")
    assert place.log_tail(begin) == "x"


def test_a_huge_log_is_read_at_its_end_only(place: Place) -> None:
    log = place.project / ".logs/shmastra.log"
    with log.open("wb") as file:
        file.truncate(5_000_000_000)
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe end\n")
    assert place.log_tail() == "the end"


def test_a_report_is_remembered(place: Place) -> None:
    place.keep_report("broken")
    assert place.last_report() == "broken"
    assert not list((place.project / ".shmastra").glob("*.new"))


def test_a_log_that_has_grown_is_cut_and_its_end_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shmastra_healer.place.MOST_LOG", 100)
    monkeypatch.setattr("shmastra_healer.place.KEPT_LOG", 10)
    path = place.project / ".logs/shmastra.log"
    path.write_bytes(b"x" * 100)
    assert not place.bound_log()
    with path.open("ab") as writer:
        writer.write(b"the end---")
        writer.flush()
        assert place.bound_log()
        writer.write(b"more")
    assert path.read_bytes() == b"more"
    assert path.with_name("shmastra.log.1").read_bytes() == b"the end---"
    path.unlink()
    path.symlink_to(path.with_name("shmastra.log.1"))
    assert not place.bound_log()


def test_a_log_is_cut_where_its_end_cannot_be_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shmastra_healer.place.MOST_LOG", 100)
    path = place.project / ".logs/shmastra.log"
    path.write_bytes(b"x" * 101)
    path.with_name("shmastra.log.1").mkdir()
    assert place.bound_log()
    assert path.stat().st_size == 0


def test_a_report_is_remembered_on_a_full_disk_too(place: Place) -> None:
    place.keep_report(None)
    assert place.last_report() is None
    file = place.project / ".shmastra/healer.json"
    size = file.stat().st_size
    for status in ("healing", "broken", "ready"):
        (place.project / ".shmastra/healer.json.new").symlink_to("/dev/full")
        place.keep_report(status)
        assert place.last_report() == status
        assert file.stat().st_size == size  # it takes no more room than there was


def test_where_there_was_never_room_it_says_so(place: Place) -> None:
    (place.project / ".shmastra/healer.json.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No such file"):
        place.keep_report("healing")
