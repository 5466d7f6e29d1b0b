from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shmastra_cloud.backup import NotPossible, moves

NAMES = ["postgres.password", "postgres", "engine/sandboxes"]


def quiet(_text: str) -> None:
    return


def stage(data: Path) -> None:
    for name in ("postgres", "engine/sandboxes/i1"):
        (moves.staged(data) / name).mkdir(parents=True)
        (moves.staged(data) / name / "new").touch()
    (moves.staged(data) / "postgres.password").write_text("new")


def old(data: Path) -> None:
    (data / "postgres").mkdir(parents=True)
    (data / "postgres/old").touch()
    (data / "postgres.password").write_text("old")
    (data / "engine/sandboxes").mkdir(parents=True)


def is_new(data: Path) -> bool:
    there = [(data / name).exists() for name in ("postgres/new", "engine/sandboxes/i1/new")]
    return all([*there, (data / "postgres.password").read_text() == "new", not moves.staged(data).exists()])


def test_what_was_there_is_kept_beside(tmp_path: Path) -> None:
    old(tmp_path)
    (tmp_path / "engine/sandboxes/i0").mkdir()
    stage(tmp_path)
    for folder in (tmp_path, tmp_path / "engine"):
        os.chown(folder, 4711, 4711)
    said: list[str] = []
    kept = moves.commit(tmp_path, NAMES, said.append)
    assert is_new(tmp_path)
    assert kept is not None
    assert (kept / "postgres/old").exists()
    assert (kept / "postgres.password").read_text() == "old"
    assert sorted(path.name for path in kept.iterdir()) == ["engine", "postgres", "postgres.password"]
    assert str(kept) in said[0]
    assert kept.stat().st_uid == (kept / "engine").stat().st_uid == 4711


def test_where_nothing_was_nothing_is_kept(tmp_path: Path) -> None:
    stage(tmp_path)
    assert moves.commit(tmp_path, NAMES, quiet) is None
    assert is_new(tmp_path)


class Cut(BaseException):
    """A kill."""


def test_cut_anywhere_it_is_the_old_one_or_becomes_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every file that is put on the disk or moved, of which the first three only prepare."""
    for number in range(100):
        data = tmp_path / str(number)
        data.mkdir()
        old(data)
        stage(data)
        left = [number]

        def cut_short(original: Callable[..., Any], left: list[int] = left) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                left[0] -= 1
                if left[0] < 0:
                    raise Cut
                return original(*arguments)

            return call

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", cut_short(os.fsync))
            patched.setattr(Path, "rename", cut_short(Path.rename))
            try:
                moves.commit(data, NAMES, quiet)
            except Cut:
                finished = False
            else:
                finished = True
        kept = moves.finish(data, quiet)
        moves.clear(data)
        assert not moves.staged(data).exists()
        if (data / "postgres/new").exists():
            assert is_new(data), number
            if kept is not None:
                assert (kept / "postgres/old").exists()
        else:
            assert number <= 3
            assert (data / "postgres/old").exists()
            assert (data / "postgres.password").read_text() == "old"
        if finished:
            assert number > 6
            return
    raise AssertionError("It never came to its end.")


def test_what_is_mounted_is_not_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage(tmp_path)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"overlay {moves.staged(tmp_path)}/engine/mounted overlay rw 0 0\n")
    monkeypatch.setattr(moves, "MOUNTS", mounts)
    with pytest.raises(NotPossible, match="mounted"):
        moves.clear(tmp_path)
    assert (moves.staged(tmp_path) / "postgres/new").exists()
