import json
from pathlib import Path

import pytest

from sandboxd import records
from sandboxd.records import Record


def record(**more: object) -> Record:
    given = {
        "id": "i1",
        "template": "base",
        "index": 3,
        "started_at": 1.5,
        "end_at": 2.5,
        "on_timeout": "kill",
    }
    given |= {"metadata": {"a": "b"}, "envs": {}, "egress": None, "public": True, **more}
    return Record(**given)  # type: ignore[arg-type]


def test_what_is_written_is_read_and_nobody_else_reads_it(tmp_path: Path) -> None:
    folder, made = tmp_path / "sandboxes" / "i1", record(once="key")
    records.make_folder(folder)
    records.write(folder, made)
    records.write(folder, made, durable=False)
    assert records.read(folder) == made
    assert (folder / "sandbox.json").stat().st_mode & 0o777 == 0o600
    assert [one.name for one in folder.iterdir()] == ["sandbox.json"]
    records.remove(folder)
    records.remove(folder)
    assert records.read(folder) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"id": "i1"}'])
def test_what_is_no_record_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "sandbox.json").write_text(text)
    assert records.read(tmp_path) is None


def test_a_record_of_a_later_daemon_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "sandboxes" / "i1"
    records.make_folder(folder)
    records.write(folder, record())
    told = json.loads((folder / "sandbox.json").read_text())
    (folder / "sandbox.json").write_text(json.dumps({**told, "new": 1}))
    assert records.read(folder) is not None
