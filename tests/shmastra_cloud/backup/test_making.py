from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from tests.shmastra_cloud.backup.conftest import Saved
from tests.shmastra_cloud.backup.installations import ANNS, settings

from sandboxd import packing
from shmastra_cloud.backup import BackupError, NotPossible, Wanted, check, make, wanted
from shmastra_cloud.supervisor import Unreadable

pytestmark = pytest.mark.engine
ELSEWHERE = {"DATABASE_URL": "postgresql://elsewhere/x"}
AT_E2B = {"E2B_API_KEY": "e2b_x", "SHMASTRA_PUBLIC_URL": "https://cloud.example.com"}


def test_what_is_saved_follows_from_where_things_are(saved: Saved, tmp_path: Path) -> None:
    def of(files_only: bool = False, data: Path = saved.data, **more: str) -> Wanted:
        return wanted(settings(data, **more), files_only=files_only, templates=True)

    assert of() == Wanted(database=True, files=True, templates=True)
    assert of(True, **ELSEWHERE) == Wanted(database=False, files=True, templates=True)
    assert of(**AT_E2B) == Wanted(database=True, files=False, templates=False)
    with pytest.raises(NotPossible, match="its owner's to back up.*--files-only"):
        of(**ELSEWHERE)
    with pytest.raises(NotPossible, match="its owner's to back up.*No sandbox's files are here"):
        of(**ELSEWHERE, **AT_E2B)
    with pytest.raises(NotPossible, match="no files to save"):
        of(True, **AT_E2B)
    with pytest.raises(NotPossible, match="no installation.*--data"):
        of(data=tmp_path)


def test_who_is_not_root_is_told_to_be(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotPossible, match="root \\(sudo\\)"):
        wanted(settings(saved.data), files_only=False, templates=True)


def test_who_may_not_read_it_is_told_whose_it_is(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Unreadable, match="belongs to the user shmastra"):
        wanted(settings(saved.data, **AT_E2B), files_only=False, templates=True)


async def test_files_alone_are_all_sandboxes_and_no_user(saved: Saved, tmp_path: Path) -> None:
    what = Wanted(database=False, files=True, templates=False)
    target = tmp_path / "b"
    await make(settings(saved.data, **ELSEWHERE), target, what, lambda _text: None)
    found = check(target)
    assert found["sandboxes"] == [{"sandbox_id": ANNS, "email": None}]
    assert (found["database"], found["users"], found["templates"]) == (False, 0, [])


async def test_a_disk_that_cannot_be_read_leaves_no_backup(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "disk_argv", lambda *_where: ["/bin/sh", "-c", "echo torn >&2; exit 2"])
    what = Wanted(database=False, files=True, templates=False)
    with pytest.raises(BackupError, match=f"{ANNS}.*torn"):
        await make(settings(saved.data, **ELSEWHERE), tmp_path / "b", what, lambda _text: None)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    await make(settings(saved.data, **ELSEWHERE), tmp_path / "b", what, lambda _text: None)
    assert not (saved.data / "engine/copies").exists()


async def test_memory_is_bounded_however_much_there_is(tmp_path: Path) -> None:
    """A lot goes through in pieces: what is held at once is a few parts."""
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from shmastra_cloud.backup import making\n"
        "from shmastra_cloud.backup.archive import Writer\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "with open(sys.argv[1], 'wb') as out:\n"
        "    writer = Writer(out)\n"
        "    making._save_stream(writer, 'large', ['head', '-c', '300M', '/dev/zero'])\n"
        "    writer.finish()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, writer.members[0].size)\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path / "b"), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    grown, size = map(int, said.split())
    assert size == 300 << 20
    assert grown < 120_000  # KiB
