"""Stopped installations without a cloud: a cluster, two small disks, a small template; and forged backups."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg

from sandboxd import disks, records
from sandboxd.engine import FIRST_UID, UIDS
from sandboxd.records import Record
from shmastra_cloud.backup.archive import Reader, Writer
from shmastra_cloud.backup.manifest import LAST
from shmastra_cloud.database import check_master_key, migrate, open_pool
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import load_vault
from shmastra_cloud.settings import Settings
from shmastra_cloud.supervisor import SERVICE, account, serving
from shmastra_cloud.workspaces import Workspaces

ANNS, BOBS = "i" + "a" * 18, "i" + "b" * 18
DISK_MB = 32
ODD = "tab\tnew\nline\\"  # what a text form has to escape


def settings(data: Path, **more: Any) -> Settings:
    return Settings(**{"SHMASTRA_DATA": data, **more})


def new_folder() -> Path:
    """Return a data folder that the service's user may get to."""
    outer = Path(tempfile.mkdtemp(prefix="shmastra-backup-", dir="/tmp"))
    outer.chmod(0o711)
    return outer / "data"


def remove(data: Path) -> None:
    assert str(data) not in Path("/proc/mounts").read_text()
    shutil.rmtree(data.parent)


async def ask(data: Path, query: str, *arguments: Any) -> list[asyncpg.Record]:
    """Ask a stopped installation's database, which is started for it."""
    async with serving(data, account(SERVICE)) as dsn:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()


async def furnish(data: Path) -> dict[str, str]:
    """Make an installation, and return virtual keys: Ann's sandbox runs, Bob's is gone, Carol's is made."""
    data.mkdir()
    async with serving(data, account(SERVICE)) as dsn:
        pool = await open_pool(dsn)
        try:
            await migrate(pool)
            vault = load_vault(settings(data))
            await check_master_key(pool, vault)
            users, store, keys = Users(pool, vault), Workspaces(pool, vault), {}
            for name in ("ann", "bob", "carol"):
                user_id = await users.invite(f"{name}@example.com", admin=name == "ann")
                keys[name] = await users.virtual_key(user_id)
                await store.ensure(user_id)
                sandbox_id = {"ann": ANNS, "bob": BOBS}.get(name)
                await pool.execute(
                    "update sandboxes set sandbox_id = $2, status = $3, lease_owner = 'me', env_version = 1,"
                    " lease_until = now() + interval '1 day' where user_id = $1",
                    user_id,
                    sandbox_id,
                    "ready" if sandbox_id else "provisioning",
                )
                await pool.execute(
                    "insert into usage_events (user_id, provider, status, duration_ms, ended, cost_usd)"
                    " select $1, $2, 200, n, 'complete', n / 7.0 from generate_series(1, 500) n",
                    user_id,
                    ODD,
                )
            await pool.execute(
                "insert into sessions (token_hash, user_id, expires_at)"
                " select 'x', id, now() + interval '1 day' from users where email = 'ann@example.com'"
            )
        finally:
            await pool.close()
    await _engine(data / "engine")
    return keys


async def _engine(engine: Path) -> None:
    record = Record(
        id=ANNS,
        template="shmastra",
        index=4,
        started_at=1.0,
        end_at=2.0,
        on_timeout="pause",
        metadata={"shmastra_workspace": "w"},
        envs={},
        egress=["pypi.org"],
        public=False,
        state="running",
    )
    folder = engine / "sandboxes" / ANNS
    records.make_folder(folder)
    await disks.make_empty(folder / "disk.img", DISK_MB << 20)
    await asyncio.to_thread(_fill, folder / "disk.img")
    records.write(folder, record)
    rootfs = engine / "templates" / "shmastra" / "rootfs"
    (rootfs / "etc").mkdir(parents=True)
    (rootfs / "etc/hostname").write_text("template")
    told = {"name": "shmastra", "version": "0123", "created_at": "2026-01-01T00:00:00+00:00", "env": {}}
    (rootfs.parent / "template.json").write_text(json.dumps(told))


def _fill(image: Path) -> None:
    def furnish_disk(upper: Path) -> None:
        uid = FIRST_UID + 4 * UIDS + 1000
        (upper / "home").mkdir(parents=True)
        (upper / "home/kept.txt").write_text("kept")
        (upper / "home/large").write_bytes(os.urandom(14 << 20))
        os.mknod(upper / "home/removed", 0o20000, 0)
        for path in [upper, *upper.rglob("*")]:
            os.chown(path, uid, uid)

    inside(image, furnish_disk)


def inside(image: Path, do: Callable[[Path], Any]) -> Any:
    """Mount a disk, and call ``do`` with its layer."""
    at = Path(tempfile.mkdtemp(dir="/tmp"))
    subprocess.run(["mount", "-o", "loop", image, at], check=True)
    try:
        return do(at / "upper")
    finally:
        subprocess.run(["umount", at], check=True)
        at.rmdir()


def forged(
    backup: Path,
    target: Path,
    *,
    manifest: Callable[[dict[str, Any]], None] = lambda _told: None,
    members: Callable[[dict[str, bytes]], None] = lambda _found: None,
) -> Path:
    """Write a changed copy of a backup, with a manifest whose sums fit what is in it."""
    with backup.open("rb") as file:
        found = {name: b"".join(body) for name, body in Reader(file).members()}
    told = json.loads(found.pop(LAST))
    members(found)
    with target.open("wb") as out:
        writer = Writer(out)
        for name, data in found.items():
            writer.add(name, data)
        told["members"] = [vars(one) for one in writer.members]
        manifest(told)
        writer.add(LAST, json.dumps(told).encode())
        writer.finish()
    return target
