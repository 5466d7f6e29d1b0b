"""A backup is restored onto a machine that shares nothing with the first; or refused, and nothing changes."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.shmastra_cloud.backup.conftest import Saved
from tests.shmastra_cloud.backup.installations import ANNS, BOBS, ODD, ask, forged, inside, settings

from sandboxd import records
from shmastra_cloud.backup import (
    BackupError,
    BadBackup,
    How,
    NotPossible,
    Occupied,
    TooNew,
    WrongKey,
    check,
    restore,
    restoring,
)
from shmastra_cloud.database import known_migrations, migrate
from shmastra_cloud.database.migrate import MIGRATIONS
from shmastra_cloud.identity import PURPOSE_KEY, key_hash
from shmastra_cloud.secrets_at_rest import load_vault
from shmastra_cloud.supervisor import AlreadyRunning, held

pytestmark = pytest.mark.engine
PLAIN = How(replace=False, new_key=False)


def quiet(_text: str) -> None:
    return


def tree(data: Path) -> list[str]:
    """Return what is in a data folder, but for the supervisor's lock."""
    return sorted(str(path.relative_to(data)) for path in data.rglob("*") if path.name not in ("run", "lock"))


def test_what_a_backup_says_of_itself(saved: Saved) -> None:
    found = check(saved.file)
    assert found["users"] == 3
    assert found["sandboxes"] == [{"sandbox_id": ANNS, "email": "ann@example.com"}]
    assert found["lost"] == [BOBS]
    assert found["templates"] == ["shmastra"]
    assert found["schema"] == known_migrations()[-1]
    assert saved.file.stat().st_mode & 0o777 == 0o600
    assert saved.said["bytes"] == saved.file.stat().st_size
    key = base64.b64decode((saved.data / "master.key").read_text())
    whole = subprocess.run(["zstd", "-dc", saved.file], capture_output=True, check=True).stdout
    assert key not in whole
    assert base64.b64encode(key) not in whole


async def test_all_of_it_is_there_afterwards(saved: Saved, target: Path) -> None:
    target.mkdir()
    (target / "master.key").write_bytes((saved.data / "master.key").read_bytes())
    done = await restore(settings(target), saved.file, PLAIN, quiet)
    assert done["master_key"] == "fits"
    assert done["made_anew"] == 1
    assert "restore.new" not in [path.name for path in target.iterdir()]
    asked = await ask(
        target,
        "select u.email, u.virtual_key, u.virtual_key_hash, s.sandbox_id, s.status, s.lease_owner,"
        " s.env_version = s.wanted_env_version as same,"
        " (select count(*) from usage_events e where e.user_id = u.id and e.provider = $1) as calls,"
        " (select count(*) from sessions) as sessions,"
        " (select max(id) from sandbox_events) < nextval('sandbox_events_id_seq') as counts_on"
        " from users u join sandboxes s on s.user_id = u.id order by u.email",
        ODD,
    )
    vault = load_vault(settings(target))
    for row, name in zip(asked, ("ann", "bob", "carol"), strict=True):
        assert vault.open(bytes(row["virtual_key"]), PURPOSE_KEY) == saved.keys[name]
        assert bytes(row["virtual_key_hash"]) == key_hash(saved.keys[name])
        assert (row["calls"], row["sessions"], row["lease_owner"]) == (500, 0, None)
        assert row["counts_on"]
        assert not row["same"]
    assert [(row["sandbox_id"], row["status"]) for row in asked] == [
        (ANNS, "paused"),
        (None, "provisioning"),
        (None, "provisioning"),
    ]
    folder = target / "engine" / "sandboxes" / ANNS
    record, before = records.read(folder), records.read(saved.data / "engine" / "sandboxes" / ANNS)
    assert record is not None
    assert before is not None
    assert (record.state, record.index, record.traffic_token) == ("paused", 4, before.traffic_token)
    assert (target / "engine/templates" / record.template / "rootfs/etc/hostname").read_text() == "template"
    assert json.loads((target / "engine/templates" / record.template / "template.json").read_text()) == {
        "name": record.template,
        "version": "0123",
        "created_at": "2026-01-01T00:00:00+00:00",
        "env": {},
    }

    def seen(upper: Path) -> dict[str, tuple[int, int, bytes | None]]:
        told = {path: path.lstat() for path in upper.rglob("*")}
        return {
            path.name: (one.st_mode, one.st_uid, path.read_bytes() if path.is_file() else None)
            for path, one in told.items()
        }

    assert inside(folder / "disk.img", seen) == inside(
        saved.data / "engine/sandboxes" / ANNS / "disk.img", seen
    )


async def test_an_installation_is_not_written_over_but_kept_beside_where_that_is_wanted(
    saved: Saved, target: Path
) -> None:
    (target / "postgres").mkdir(parents=True)
    (target / "postgres/old").touch()
    (target / "engine/sandboxes/iold").mkdir(parents=True)
    (target / "master.key").write_bytes((saved.data / "master.key").read_bytes())
    before = tree(target)
    with pytest.raises(Occupied, match=r"postgres.*sandboxes.*--force"):
        await restore(settings(target), saved.file, PLAIN, quiet)
    assert tree(target) == before
    done = await restore(settings(target), saved.file, How(replace=True, new_key=False), quiet)
    kept = Path(done["kept_aside"])
    assert (kept / "postgres/old").exists()
    assert kept.parent == target
    assert (target / "postgres/PG_VERSION").exists()
    assert (target / "engine/sandboxes" / ANNS / "disk.img").exists()
    with pytest.raises(Occupied):
        await restore(settings(target), saved.file, PLAIN, quiet)


async def test_another_master_key_is_refused_and_a_new_one_gives_everybody_a_new_virtual_key(
    saved: Saved, target: Path
) -> None:
    target.mkdir()
    load_vault(settings(target))  # makes one
    needed = saved.said["master_key_fingerprint"][:16]
    with pytest.raises(WrongKey, match=f"needs {needed}.*--new-master-key"):
        await restore(settings(target), saved.file, PLAIN, quiet)
    same = settings(target, SHMASTRA_MASTER_KEY=(saved.data / "master.key").read_text().strip())
    with pytest.raises(WrongKey, match="is that of the backup"):
        await restore(same, saved.file, How(replace=False, new_key=True), quiet)
    assert not (target / "postgres").exists()
    done = await restore(settings(target), saved.file, How(replace=False, new_key=True), quiet)
    assert done["master_key"] == "new"
    vault = load_vault(settings(target))
    rows = await ask(
        target,
        "select u.virtual_key, u.virtual_key_hash, s.mastra_token, s.traffic_token, i.master_key_fingerprint"
        " from users u join sandboxes s on s.user_id = u.id, installation i",
    )
    for row in rows:
        key = vault.open(bytes(row["virtual_key"]), PURPOSE_KEY)
        assert key not in saved.keys.values()
        assert bytes(row["virtual_key_hash"]) == key_hash(key)
        assert vault.open(bytes(row["mastra_token"]), "sandboxes.mastra_token")
        assert row["traffic_token"] is None
        assert bytes(row["master_key_fingerprint"]) == vault.fingerprint


async def test_an_older_backup_is_migrated(
    saved: Saved, target: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """This program has a migration more than the one that made the backup; it works on the restored rows."""
    names = known_migrations()
    newer = tmp_path / "migrations"
    newer.mkdir()
    for file in MIGRATIONS.glob("*.sql"):
        (newer / file.name).write_text(file.read_text())
    (newer / "900_newer.sql").write_text(
        "create table public.newer as select count(*)::int as calls from public.usage_events;"
        " alter table public.newer enable row level security;"
    )
    monkeypatch.setattr(known_migrations, "__defaults__", (newer,))
    monkeypatch.setattr(migrate, "__defaults__", (newer,))
    assert known_migrations() == [*names, "900_newer"]
    done = await restore(settings(target), saved.file, PLAIN, quiet)
    assert done["master_key"] == "missing"
    [row] = await ask(target, "select calls from newer")
    assert row["calls"] == 1500


async def test_a_newer_backup_is_refused(saved: Saved, target: Path, tmp_path: Path) -> None:
    file = forged(saved.file, tmp_path / "b", manifest=lambda told: told["migrations"].append("901_future"))
    with pytest.raises(TooNew, match="901_future.*Update"):
        check(file)
    with pytest.raises(TooNew):
        await restore(settings(target), file, PLAIN, quiet)
    assert not target.exists()
    file = forged(
        saved.file, tmp_path / "b", members=lambda found: found.update(format=b"shmastra backup 2\n")
    )
    with pytest.raises(TooNew, match="format 2"):
        check(file)


def _larger(found: dict[str, bytes]) -> None:
    found["database/users"] = b"not a uuid\tx\n"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"members": _larger}, BadBackup),
        ({"manifest": lambda told: told["tables"].pop()}, BadBackup),
        ({"manifest": lambda told: told["sandboxes"][0].update(disk_mb=16)}, BackupError),
    ],
    ids=["rows that do not fit", "a table less", "a disk without room"],
)
async def test_what_turns_out_to_be_unfit_leaves_nothing(
    saved: Saved, target: Path, tmp_path: Path, change: dict[str, Any], why: type[BackupError]
) -> None:
    with pytest.raises(why) as refusal:
        await restore(settings(target), forged(saved.file, tmp_path / "b", **change), PLAIN, quiet)
    assert "\n" not in str(refusal.value)
    assert not target.exists() or tree(target) == []


async def test_a_file_that_is_changed_between_two_readings_is_refused(
    saved: Saved, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with saved.file.open("rb") as file:
        manifest = restoring.inspect(file)
    monkeypatch.setattr(restoring, "inspect", lambda _file: manifest)

    def promote(found: dict[str, bytes]) -> None:
        found["database/users"] = found["database/users"].replace(b"\tmember\t", b"\tadmin\t")

    file = forged(saved.file, tmp_path / "changed", members=promote)
    with pytest.raises(BadBackup, match="changed while"):
        await restore(settings(target), file, PLAIN, quiet)
    assert tree(target) == []


async def test_a_disk_that_cannot_be_written_leaves_nothing(
    saved: Saved, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any, **_options: Any) -> None:
        raise subprocess.TimeoutExpired("sync", 1)

    monkeypatch.setattr(restoring.subprocess, "run", fail)
    monkeypatch.setattr(restoring, "_stage", _staged)
    with pytest.raises(BackupError, match="could not be written"):
        await restore(settings(target), saved.file, PLAIN, quiet)
    assert tree(target) == []


async def _staged(data: Path, *_more: Any) -> tuple[list[str], int]:
    (data / "restore.new" / "postgres").mkdir(parents=True)
    return ["postgres"], 0


async def test_where_it_cannot_be_put_is_said_before_anything_is_done(saved: Saved, target: Path) -> None:
    with pytest.raises(NotPossible, match="DATABASE_URL"):
        await restore(settings(target, DATABASE_URL="postgresql://elsewhere/x"), saved.file, PLAIN, quiet)
    there = {"E2B_API_KEY": "e2b_x", "SHMASTRA_PUBLIC_URL": "https://cloud.example.com"}
    with pytest.raises(NotPossible, match="E2B_API_KEY"):
        await restore(settings(target, **there), saved.file, PLAIN, quiet)
    assert not target.exists()
    with held(target / "run", "http://127.0.0.1:3000"), pytest.raises(AlreadyRunning, match=str(os.getpid())):
        await restore(settings(target), saved.file, PLAIN, quiet)
    assert tree(target) == []


def test_a_restore_that_is_killed_is_nothing_and_can_be_begun_again(saved: Saved, target: Path) -> None:
    argv = [sys.executable, "-m", "shmastra_cloud", "restore", str(saved.file), "--data", str(target)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, cwd="/") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "restoring the sandbox" in line:
                process.send_signal(signal.SIGKILL)
                break
        process.wait(30)
    deadline = time.monotonic() + 20
    while any(str(target) in _words(folder) for folder in Path("/proc").glob("[0-9]*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert str(target) not in Path("/proc/mounts").read_text()
    assert not (target / "postgres").exists()
    assert not (target / "engine").exists()
    done = subprocess.run(argv, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert (target / "engine/sandboxes" / ANNS / "disk.img").exists()
    assert not (target / "restore.new").exists()


def _words(folder: Path) -> str:
    try:
        return (folder / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
