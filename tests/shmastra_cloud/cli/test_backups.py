from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.shmastra_cloud.backup.conftest import Saved, saved
from tests.shmastra_cloud.backup.installations import ANNS, BOBS, new_folder, remove

pytestmark = pytest.mark.engine
__all__ = ["saved"]


def shmastra(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "shmastra_cloud", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, cwd=cwd, timeout=120)


def test_a_backup_says_what_it_lacks_and_where_that_is(saved: Saved, tmp_path: Path) -> None:
    done = shmastra("backup", "b", "--without-templates", "--data", saved.data, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "3 users, the files of 1 sandboxes" in done.stderr
    assert (
        f"NOT in it: keep {saved.data}/master.key (fingerprint {saved.said['master_key_fingerprint'][:16]})"
        in (done.stderr)
    )
    assert f"{BOBS} is gone" in done.stderr
    assert "ann@example.com" in done.stderr
    told = shmastra("restore", "b", "--check", "--json", cwd=tmp_path)
    assert json.loads(told.stdout)["templates"] == []


def test_a_backup_goes_through_a_pipe_and_is_restored_from_a_file(saved: Saved, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "shmastra_cloud", "backup", "-", "--data", str(saved.data)]
    piped = subprocess.run(argv, capture_output=True, check=True, cwd=tmp_path)
    (tmp_path / "b").write_bytes(piped.stdout)
    shown = shmastra("restore", "--check", "b", cwd=tmp_path)
    assert shown.stdout.startswith("whole, made ")
    assert f"{ANNS}  ann@example.com" in shown.stdout
    data = new_folder()
    try:
        done = shmastra("restore", "b", "--json", "--data", data, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["master_key"] == "missing"
        again = shmastra("restore", "b", "--data", data, cwd=tmp_path)
        assert again.returncode == 1
        assert again.stderr.splitlines()[-1].startswith("shmastra: There is an installation already")
        forced = shmastra("restore", "b", "--data", data, "--force", cwd=tmp_path)
        assert forced.returncode == 0, forced.stderr
        needed = saved.said["master_key_fingerprint"][:16]
        assert f"put the master key with the fingerprint {needed} at {data}/master.key" in forced.stderr
        assert "user link EMAIL" in forced.stderr
    finally:
        remove(data)


def test_what_is_no_backup_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_bytes(b"rubbish" * 1000)
    for arguments in (
        ["restore", "rubbish", "--check"],
        ["restore", "none"],
        ["backup", "b", "--data", "none"],
    ):
        done = shmastra(*arguments, cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith("shmastra: ")
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "b").exists()
