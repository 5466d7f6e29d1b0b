from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from tests.shmastra_cloud.backup.conftest import Saved, saved
from tests.shmastra_cloud.backup.installations import ANNS, BOBS, new_folder, remove
from typer.testing import CliRunner

from shmastra_cloud.backup import BackupError, Occupied
from shmastra_cloud.cli import app

pytestmark = pytest.mark.engine
__all__ = ["saved"]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what `--data` puts into the environment taken out again."""
    monkeypatch.setenv("SHMASTRA_DATA", "")


def in_process(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_a_backup_says_what_it_lacks_and_where_that_is(saved: Saved, tmp_path: Path) -> None:
    file = tmp_path / "b"
    done = in_process("backup", file, "--without-templates", "--data", saved.data)
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert "3 users, the files of 1 sandboxes" in done.stderr
    needed = saved.said["master_key_fingerprint"][:16]
    assert f"NOT in it: keep {saved.data}/master.key (fingerprint {needed})" in done.stderr
    assert f"{BOBS} is gone" in done.stderr
    assert "ann@example.com" in done.stderr
    told = in_process("restore", file, "--check", "--json")
    assert json.loads(told.stdout)["templates"] == []


def test_a_backup_goes_through_a_pipe_and_is_restored_from_a_file(saved: Saved, tmp_path: Path) -> None:
    file = tmp_path / "b"
    argv = [sys.executable, "-m", "shmastra_cloud", "backup", "-", "--data", str(saved.data)]
    with file.open("wb") as out:
        subprocess.run(argv, stdout=out, stderr=subprocess.PIPE, check=True, cwd=tmp_path)
    shown = in_process("restore", "--check", file)
    assert shown.stdout.startswith("whole, made ")
    assert f"{ANNS}  ann@example.com" in shown.stdout
    data = new_folder()
    try:
        done = in_process("restore", file, "--data", data)
        assert done.exit_code == 0, done.output
        needed = saved.said["master_key_fingerprint"][:16]
        assert f"put the master key with the fingerprint {needed} at {data}/master.key" in done.stderr
        assert "user link EMAIL" in done.stderr
        assert isinstance(in_process("restore", file, "--data", data).exception, Occupied)
        forced = in_process("restore", file, "--data", data, "--force", "--json")
        assert json.loads(forced.stdout)["master_key"] == "missing"
    finally:
        remove(data)


def test_what_is_no_backup_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_bytes(b"rubbish" * 1000)
    argv = [sys.executable, "-m", "shmastra_cloud", "restore", "rubbish", "--check"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "shmastra: This is not a backup of Shmastra Cloud, or it is damaged.\n"
    for arguments in (["restore", tmp_path / "none"], ["backup", tmp_path / "b"]):
        refused = in_process(*arguments, "--data", tmp_path / "data")
        assert isinstance(refused.exception, BackupError)
    assert [path.name for path in tmp_path.iterdir()] == ["rubbish"]
