from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.shmastra_cloud.backup.installations import forged

from shmastra_cloud.backup import BadBackup
from shmastra_cloud.backup.archive import Writer
from shmastra_cloud.backup.inspecting import inspect, opened, small
from shmastra_cloud.backup.manifest import Manifest, opening


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup of nothing."""
    told = {name: [] for name in ("migrations", "tables", "sandboxes", "templates", "lost", "members")}
    fixed = {"program": "0", "master_key": None, "sandboxes_at": "here", "created_at": "2026-01-01T00:00:00Z"}
    with (tmp_path / "backup").open("wb") as out:
        writer = Writer(out)
        writer.add("format", opening())
        told["members"] = [vars(one) for one in writer.members]  # type: ignore[misc]
        writer.add("manifest.json", Manifest.model_validate({**told, **fixed}).model_dump_json().encode())
        writer.finish()
    return tmp_path / "backup"


def look(path: Path) -> Manifest:
    with opened(path) as file:
        return inspect(file)


def test_a_whole_one_says_what_it_is(backup: Path) -> None:
    assert look(backup).program == "0"


def _sum(told: dict[str, Any]) -> None:
    told["members"][0]["sha256"] = "0" * 64


@pytest.mark.parametrize(
    "change",
    [
        {"manifest": _sum},
        {"manifest": lambda told: told["members"].pop()},
        {"manifest": lambda told: told["tables"].append({"name": "users", "columns": [], "rows": 0})},
        {"members": lambda found: found.update({"more": b"x"})},
        {"members": lambda found: found.update({"database/users": b"x"})},
        {"members": lambda found: found.pop("format")},
        {"members": lambda found: found.update(format=b"x" * (2 << 20))},
    ],
    ids=[
        "another sum",
        "a sum less",
        "a table that is not there",
        "more",
        "rows of no table",
        "no format",
        "a long one",
    ],
)
def test_one_that_does_not_hold_what_it_says_is_refused(
    backup: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(BadBackup):
        look(forged(backup, tmp_path / "forged", **change))


def test_one_that_was_not_written_to_its_end_has_no_manifest(backup: Path, tmp_path: Path) -> None:
    with (tmp_path / "cut").open("wb") as out:
        writer = Writer(out)
        writer.add("format", opening())
        writer.finish()
    with pytest.raises(BadBackup):
        look(tmp_path / "cut")


def test_what_is_no_file_is_said_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, why in ((tmp_path / "none", "no file"), (tmp_path / "pipe", "pipe"), (tmp_path, "not a file")):
        with pytest.raises(BadBackup, match=why), opened(path):
            pass


def test_a_small_member_is_small() -> None:
    assert small(iter([b"a", b"b"])) == b"ab"
    with pytest.raises(BadBackup):
        small(iter([b"x" * 600_000] * 2))
