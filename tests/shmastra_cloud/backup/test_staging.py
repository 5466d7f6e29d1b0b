"""What a forged backup says of sandboxes and templates never leads out of the folder that is made for it."""

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from tests.shmastra_cloud.backup.conftest import Saved
from tests.shmastra_cloud.backup.installations import ANNS, BOBS, forged

from sandboxd import records
from shmastra_cloud.backup import BackupError, BadBackup
from shmastra_cloud.backup.archive import Reader
from shmastra_cloud.backup.inspecting import inspect
from shmastra_cloud.backup.staging import Staging

pytestmark = pytest.mark.engine
RECORD, FILES = f"sandboxes/{ANNS}/sandbox.json", f"sandboxes/{ANNS}/files.tar"


async def stage(file: Path, engine: Path, there: Path) -> Staging:
    with file.open("rb") as opened:
        staging = Staging(engine, there, inspect(opened))
        opened.seek(0)
        for name, body in Reader(opened).members():
            if name.startswith(("sandboxes/", "templates/")):
                await staging.take(name, body)
    return staging


def _record(**changes: Any) -> Any:
    def change(found: dict[str, bytes]) -> None:
        found[RECORD] = json.dumps({**json.loads(found[RECORD]), **changes}).encode()

    return change


def _swap(name: str, data: bytes) -> Any:
    return lambda found: found.update({name: data})


def _tar(**fields: Any) -> bytes:
    out, member = BytesIO(), tarfile.TarInfo("./a")
    for field, value in fields.items():
        setattr(member, field, value)
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(member)
    return out.getvalue()


FORGERIES: dict[str, Any] = {
    "a template that leads out": _record(template="../../../etc"),
    "another sandbox": _record(id=BOBS),
    "uids of no sandbox": _record(index=-16),
    "uids beyond all sandboxes": _record(index=70_000),
    "uids of another sandbox": _record(index=5),
    "a number that is text": _record(index="4"),
    "hosts that are none": _record(egress=[1]),
    "a record that is none": _swap(RECORD, b"[]"),
    "a record without end": _swap(RECORD, b" " * (2 << 20)),
    "files that are none": _swap(FILES, b"rubbish" * 500),
    "a file outside": _swap(FILES, _tar(name="../../../../etc/cron.d/x")),
    "a file of root's": _swap(FILES, _tar(uid=0, gid=0)),
    "a device": _swap(FILES, _tar(type=tarfile.BLKTYPE, devmajor=8)),
    "a template that is none": _swap("templates/shmastra/files.tar", b"rubbish" * 500),
    "a template that says nothing": _swap("templates/shmastra/template.json", b"[]"),
}


@pytest.mark.parametrize("what", FORGERIES)
async def test_a_forgery_is_refused(saved: Saved, tmp_path: Path, what: str) -> None:
    engine = tmp_path / "engine"
    with pytest.raises(BadBackup) as refusal:
        await stage(forged(saved.file, tmp_path / "forged", members=FORGERIES[what]), engine, tmp_path / "no")
    assert "\n" not in str(refusal.value)
    assert str(engine) not in Path("/proc/mounts").read_text()


async def test_two_sandboxes_never_have_the_same_uids(saved: Saved, tmp_path: Path) -> None:
    def another(found: dict[str, bytes]) -> None:
        found[RECORD.replace(ANNS, BOBS)] = found[RECORD].replace(ANNS.encode(), BOBS.encode())
        found[FILES.replace(ANNS, BOBS)] = found[FILES]

    def told(manifest: dict[str, Any]) -> None:
        manifest["sandboxes"].append({**manifest["sandboxes"][0], "id": BOBS})

    file = forged(saved.file, tmp_path / "forged", members=another, manifest=told)
    with pytest.raises(BadBackup, match="another one"):
        await stage(file, tmp_path / "engine", tmp_path / "no")


async def test_what_ran_does_not_run_yet(saved: Saved, tmp_path: Path) -> None:
    await stage(
        forged(saved.file, tmp_path / "b", members=_record(state="running")), tmp_path / "e", tmp_path / "no"
    )
    found = records.read(tmp_path / "e/sandboxes" / ANNS)
    assert found is not None
    assert found.state == "paused"


async def test_a_disk_that_is_too_small_is_said_so(saved: Saved, tmp_path: Path) -> None:
    def smaller(told: dict[str, Any]) -> None:
        told["sandboxes"][0]["disk_mb"] = 16

    file = forged(saved.file, tmp_path / "small", manifest=smaller)
    with pytest.raises(BackupError, match="No space left"):
        await stage(file, tmp_path / "engine", tmp_path / "no")


async def test_a_template_has_a_name_by_what_is_in_it_and_is_made_once(saved: Saved, tmp_path: Path) -> None:
    first = await stage(saved.file, tmp_path / "first", tmp_path / "no")
    [name] = first.templates
    assert name.startswith("shmastra-")
    made = records.read(tmp_path / "first/sandboxes" / ANNS)
    assert made is not None
    assert made.template == name
    again = await stage(saved.file, tmp_path / "again", tmp_path / "first")
    assert again.templates == []
    same = records.read(tmp_path / "again/sandboxes" / ANNS)
    assert same is not None
    assert same.template == name
