import json
from typing import Any

import pytest

from shmastra_cloud.backup import BadBackup, TooNew
from shmastra_cloud.backup.manifest import check_opening, opening, read_manifest

TOLD: dict[str, Any] = {
    "created_at": "2026-11-28T17:00:00+00:00",
    "program": "0.1.0",
    "migrations": ["001_init"],
    "master_key": "a" * 64,
    "sandboxes_at": "here",
    "tables": [{"name": "users", "columns": ["id"], "rows": 2}],
    "sandboxes": [{"id": "i" + "a" * 18, "email": None, "template": "base", "disk_mb": 64}],
    "templates": [{"name": "base"}],
    "lost": [],
    "members": [{"name": "format", "size": 18, "sha256": "b" * 64}],
}


def test_what_is_written_is_read() -> None:
    found = read_manifest(json.dumps(TOLD).encode())
    assert read_manifest(found.model_dump_json().encode()) == found
    assert found.has_database
    assert found.files_bytes == 18


@pytest.mark.parametrize(
    "change",
    [
        {"sandboxes": [{**TOLD["sandboxes"][0], "id": "../x"}]},
        {"sandboxes": [{**TOLD["sandboxes"][0], "template": "../x"}]},
        {"sandboxes": [{**TOLD["sandboxes"][0], "disk_mb": 1 << 40}]},
        {"sandboxes": TOLD["sandboxes"] * 2},
        {"templates": [{"name": "a/b"}]},
        {"members": [{"name": "format", "size": -1, "sha256": "b" * 64}]},
        {"members": TOLD["members"] * 2},
        {"tables": TOLD["tables"] * 2},
        {"master_key": "short"},
        {"sandboxes_at": "there"},
        {"more": 1},
        {"created_at": "soon"},
    ],
    ids=str,
)
def test_what_no_backup_says_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadBackup):
        read_manifest(json.dumps({**TOLD, **change}).encode())


def test_rubbish_is_no_manifest() -> None:
    for data in (b"", b"{", b"[]", b"\xff"):
        with pytest.raises(BadBackup):
            read_manifest(data)


def test_only_this_format_is_read() -> None:
    check_opening(opening())
    with pytest.raises(TooNew, match="format 2"):
        check_opening(b"shmastra backup 2\n")
    for data in (b"", b"shmastra backup x\n", b"another thing", b"\xff"):
        with pytest.raises(BadBackup):
            check_opening(data)
