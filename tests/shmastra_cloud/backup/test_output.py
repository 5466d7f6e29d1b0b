from __future__ import annotations

import fcntl
import io
import os
import shutil
import sys
from pathlib import Path

import pytest

from shmastra_cloud.backup import STDOUT, NoSpace, NotPossible
from shmastra_cloud.backup.output import check_space, output


def test_a_file_takes_its_name_when_it_is_whole_and_is_its_owners(tmp_path: Path) -> None:
    target = tmp_path / "b"
    target.write_text("old")
    target.chmod(0o644)
    before = os.umask(0)
    try:
        with output(target) as out:
            out.write(b"new")
            assert target.read_text() == "old"
    finally:
        os.umask(before)
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_an_error_leaves_the_old_one_and_a_kills_rest_is_written_over(tmp_path: Path) -> None:
    target, rest = tmp_path / "b", tmp_path / ".b.partial"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), output(target):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert target.read_text() == "old"
    rest.write_text("a long rest of a backup that was killed")
    rest.chmod(0o644)
    with output(target) as out:
        out.write(b"new")
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o600


def test_where_it_cannot_be_written_is_said(tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "none" / "b", Path("/dev/null")):
        with pytest.raises(NotPossible, match=str(target.parent)), output(target):
            pass
    (tmp_path / ".b.partial").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), output(tmp_path / "b"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_two_are_not_written_to_one_file(tmp_path: Path) -> None:
    with (tmp_path / ".b.partial").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(NotPossible, match="Another backup"), output(tmp_path / "b"):
            pass
    assert (tmp_path / ".b.partial").exists()


def test_the_standard_output_is_taken_unless_it_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw))
    with output(STDOUT) as out:
        out.write(b"x")
    assert raw.getvalue() == b"x"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(NotPossible, match="terminal"), output(STDOUT):
        pass


def test_too_little_room_is_told_in_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(0, 0, 5 << 20))  # type: ignore[attr-defined]
    check_space(tmp_path, 5 << 20, "the backup")
    with pytest.raises(NoSpace, match="5 MB are free.*the backup may need 8 MB"):
        check_space(tmp_path, 7 << 20, "the backup")
