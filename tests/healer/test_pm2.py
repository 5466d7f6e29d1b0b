import os
from pathlib import Path

import pytest
from tests.healer.sandboxes import KEY, calls, does, lists, place_in

from shmastra_healer import pm2
from shmastra_healer.errors import RestartFailed
from shmastra_healer.events import Asked
from shmastra_healer.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_in(tmp_path)


def test_pm2_is_asked_for_status_and_age(place: Place, tmp_path: Path) -> None:
    lists(tmp_path, "online", 100)
    told = pm2.ask(place)
    assert told.status == "online"
    assert 99 < told.seconds < 160


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "[{}]", '[{"name":"shmastra"}]', '[{"name":"shmastra","pm2_env":{"status":1}}]', "3"],
)
def test_a_strange_answer_is_none(place: Place, tmp_path: Path, text: str) -> None:
    (tmp_path / "list").write_text(text)
    assert pm2.ask(place) == Asked(None, 0.0)


def test_what_pm2_says_before_its_list_is_no_trouble(place: Place, tmp_path: Path) -> None:
    lists(tmp_path, "stopped")
    (tmp_path / "list").write_text(">>>> In-memory PM2 is out-of-date\n" + (tmp_path / "list").read_text())
    assert pm2.ask(place).status == "stopped"


def test_a_missing_pm2_is_an_answer_and_a_failed_restart(place: Place) -> None:
    lost = place._replace(pm2="/no/pm2", start="/no/start")
    assert pm2.ask(lost) == Asked(None, 0.0)
    with pytest.raises(RestartFailed, match="No such file"):
        pm2.restart(lost)
    with pytest.raises(RestartFailed):
        pm2.restart(place._replace(project=Path("/no/project")))


def test_a_restart_takes_the_start_command(place: Place, tmp_path: Path) -> None:
    pm2.restart(place)
    pm2.restart(place, everything=True)
    assert calls(tmp_path) == ["start --only shmastra", "start "]


def test_where_that_fails_pm2_restarts_what_it_knows(place: Place, tmp_path: Path) -> None:
    does(tmp_path, 'test "$1" = restart')
    pm2.restart(place)
    assert calls(tmp_path) == ["start --only shmastra", "pm2 restart shmastra --silent"]


def test_last_words_are_told_without_secrets(place: Place, tmp_path: Path) -> None:
    does(tmp_path, f"echo no luck with {KEY} >&2; exit 3")
    with pytest.raises(RestartFailed, match=r"status 3: no luck with \[hidden\]"):
        pm2.restart(place)


def test_one_that_hangs_is_ended(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pm2, "RESTART_SECONDS", 0.2)
    does(tmp_path, "exec sleep 60")
    with pytest.raises(RestartFailed, match="did not end within"):
        pm2.restart(place)


def test_pm2_gets_nothing_of_what_pm2_put_there(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"pm_id": "1", "name": "healer", "PM2_USAGE": "x", "HTTPS_PROXY": "http://p", "https_proxy": "q"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    does(tmp_path, f"env > {tmp_path}/env")
    pm2.restart(place)
    seen = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if "=" in line)
    assert not {"pm_id", "name", "PM2_USAGE"} & set(seen)
    assert seen["HTTPS_PROXY"], seen["https_proxy"] == ("http://p", "q")
    assert (seen["PM2_HOME"], seen["PATH"]) == (str(place.pm2_home), os.environ["PATH"])
