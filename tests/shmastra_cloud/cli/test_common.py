import os
from pathlib import Path

import pytest
import typer
from tests.shmastra_cloud.webs import shmastra

from shmastra_cloud.cli.common import Failed, choose, confirm, read_files, read_secrets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".env.team.local").write_text("A=team-local\n")
    (tmp_path / ".env.team").write_text("A=team\nB=team\n")
    (tmp_path / ".env.local").write_text("A=local\nB=local\nC=local\n")
    (tmp_path / ".env").write_text("A=plain\nB=plain\nC=plain\nD='${A} plain'\nE=file\nBARE\n")
    return tmp_path


def test_the_more_special_file_wins_and_the_environment_over_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ABCD":
        monkeypatch.setenv(name, "")  # so that what is set here is taken back afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("E", "process")
    read_files(folder, "team")
    assert [os.environ[name] for name in "ABCDE"] == ["team-local", "team", "local", "${A} plain", "process"]
    assert "BARE" not in os.environ


def test_without_a_profile_its_files_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ABCDE":
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    read_files(folder, None)
    assert [os.environ[name] for name in "AB"] == ["local", "local"]


def test_a_profile_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="neither"):
        read_files(tmp_path, "nowhere")
    with pytest.raises(typer.BadParameter):
        choose(None, "../../etc/passwd")


def test_the_command_line_reads_them_wherever_the_option_stands(tmp_path: Path) -> None:
    (tmp_path / ".env.team").write_text("SHMASTRA_DATA=/nowhere/team\n")
    (tmp_path / ".env").write_text("SHMASTRA_DATA=/nowhere/plain\n")
    for words, place in (
        (("user", "list"), b"/nowhere/plain/run"),
        (("user", "list", "--profile", "team"), b"/nowhere/team/run"),
        (("--profile", "team", "user", "list"), b"/nowhere/team/run"),
        (("user", "list", "--profile", "team", "--data", "/nowhere/said"), b"/nowhere/said/run"),
    ):
        assert place in shmastra(*words, cwd=tmp_path).stderr
    assert shmastra("user", "list", "--profile", "a/b", cwd=tmp_path).returncode == 2
    assert shmastra("user", "list", "--profile", "other", cwd=tmp_path).returncode == 1


def test_nothing_is_destroyed_where_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    confirm("Really?", yes=True)
    monkeypatch.setattr(os, "isatty", lambda _: False)
    with pytest.raises(Failed, match="--yes"):
        confirm("Really?", yes=False)


def test_a_file_of_secrets_is_a_variable_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AAA_KEY", "BBB_KEY", "CCC_KEY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("BBB_KEY", "process")
    for name in ("AAA_KEY", "BBB_KEY", "lower", "..data"):
        (tmp_path / name).write_text(f"of {name}\n")
    (tmp_path / "A_FOLDER").mkdir()
    (tmp_path / "shmastra-web_CCC_KEY").write_text("a credential of systemd's")
    read_secrets(tmp_path)
    assert (os.environ["AAA_KEY"], os.environ["BBB_KEY"]) == ("of AAA_KEY", "process")
    assert os.environ["CCC_KEY"] == "a credential of systemd's"
    assert not {"lower", "..data", "A_FOLDER"} & set(os.environ)
    with pytest.raises(Failed, match="SHMASTRA_SECRETS"):
        read_secrets(tmp_path / "missing")
