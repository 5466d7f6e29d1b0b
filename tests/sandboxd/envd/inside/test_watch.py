import select
import shutil
from pathlib import Path

import pytest

from sandboxd.envd.inside import watch
from sandboxd.envd.inside.watch import Watch


def happened(watched: Watch) -> list[tuple[str, str]]:
    found = []
    while select.select([watched.descriptor], [], [], 0.2)[0]:
        found += [(one["kind"], one["name"]) for one in watched.events()]
    return found


def test_changes_below_are_told_with_folders_that_come_later(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    watched = Watch(tmp_path, recursive=True, entries=True)
    try:
        (tmp_path / "a" / "f").write_text("x")
        (tmp_path / "b" / "c").mkdir(parents=True)
        assert {("create", "a/f"), ("write", "a/f"), ("create", "b")} <= set(happened(watched))
        (tmp_path / "b" / "c" / "g").touch()
        (tmp_path / "a" / "f").rename(tmp_path / "h")
        (tmp_path / "h").chmod(0o600)
        (tmp_path / "h").unlink()
        told = set(happened(watched))
        assert {
            ("create", "b/c/g"),
            ("rename", "a/f"),
            ("create", "h"),
            ("chmod", "h"),
            ("remove", "h"),
        } <= told
        shutil.rmtree(tmp_path / "b")
        assert ("remove", "b") in happened(watched)
    finally:
        watched.close()


def test_what_is_not_a_folder_or_too_many_are_not_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(NotADirectoryError):
        Watch(tmp_path / "f", recursive=False, entries=False)
    (tmp_path / "d").mkdir()
    monkeypatch.setattr(watch, "MAX_FOLDERS", 1)
    with pytest.raises(OverflowError):
        Watch(tmp_path, recursive=True, entries=False)
