from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.sandboxd.conftest import KEY, Daemon, daemon
from tests.shmastra_cloud.backup.conftest import Saved
from tests.shmastra_cloud.backup.installations import ANNS, BOBS, settings

from shmastra_cloud.backup import BackupError, NotPossible
from shmastra_cloud.backup.here import database, engine, kept_still, one_at_a_time
from shmastra_cloud.supervisor import AlreadyRunning, held

__all__ = ["daemon"]
pytestmark = pytest.mark.engine


def quiet(_text: str) -> None:
    return


def test_one_backup_at_a_time(tmp_path: Path) -> None:
    with one_at_a_time(tmp_path), pytest.raises(NotPossible, match="Another backup"), one_at_a_time(tmp_path):
        pass
    with one_at_a_time(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_a_stopped_cloud_stays_stopped_meanwhile_and_a_running_one_runs(tmp_path: Path) -> None:
    with kept_still(tmp_path, quiet) as running:
        assert not running
        with pytest.raises(AlreadyRunning, match="shmastra backup"), held(tmp_path / "run", "http://x"):
            pass
    with held(tmp_path / "run", "http://x"), kept_still(tmp_path, quiet) as running:
        assert running


async def test_a_stopped_database_is_started_and_seen_as_it_is_at_one_moment(saved: Saved) -> None:
    async with database(saved.data, running=False) as source:
        assert await source.connection.fetchval("select count(*) from users") == 3
        async with database(saved.data, running=True) as beside:
            assert await beside.connection.fetchval("select current_setting('transaction_read_only')") == "on"
            assert (
                await beside.connection.fetchval("select current_setting('transaction_isolation')")
                == "repeatable read"
            )
    with pytest.raises(NotPossible, match="does not answer"):
        async with database(saved.data, running=True):
            pass


async def test_without_a_daemon_disks_are_copied_all_the_same(saved: Saved) -> None:
    folder = saved.data / "engine"
    async with engine(settings(saved.data), saved.data, running=False) as copier:
        copy = await copier.copy(ANNS)
        assert copy is not None
        assert copy.stat().st_size == (folder / "sandboxes" / ANNS / "disk.img").stat().st_size
        assert await copier.copy(BOBS) is None
        copy.unlink()
    with pytest.raises(BackupError, match="sandboxd"):
        async with engine(settings(saved.data), saved.data, running=True):
            pass


async def test_a_daemon_without_a_supervisor_is_asked(daemon: Daemon, tmp_path: Path) -> None:
    box = await asyncio.to_thread(daemon.create)
    (tmp_path / "engine").symlink_to(daemon.data)
    there = settings(tmp_path, SHMASTRA_ENGINE_URL=daemon.url, SHMASTRA_ENGINE_KEY=KEY)
    async with engine(there, tmp_path, running=False) as copier:
        copy = await copier.copy(box.sandbox_id)
        assert copy is not None
        copy.unlink()
        assert await copier.copy(BOBS) is None
    wrong = settings(tmp_path, SHMASTRA_ENGINE_URL=daemon.url, SHMASTRA_ENGINE_KEY="e2b_wrong")
    async with engine(wrong, tmp_path, running=False) as copier:
        with pytest.raises(BackupError, match="API key"):
            await copier.copy(box.sandbox_id)
    await asyncio.to_thread(box.kill)
