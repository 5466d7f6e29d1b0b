from __future__ import annotations

from pathlib import Path

import pytest
from tests.shmastra_cloud.backup.conftest import Saved
from tests.shmastra_cloud.backup.installations import ANNS, BOBS

from sandboxd import lock
from shmastra_cloud.backup import BackupError, NotPossible
from shmastra_cloud.backup.here import database, engine, kept_still, one_at_a_time
from shmastra_cloud.supervisor import AlreadyRunning, held

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
    async with engine(saved.data, running=False) as copier:
        copy = await copier.copy(ANNS)
        assert copy is not None
        assert copy.stat().st_size == (folder / "sandboxes" / ANNS / "disk.img").stat().st_size
        assert await copier.copy(BOBS) is None
        copy.unlink()
    with pytest.raises(BackupError, match="sandboxd"):
        async with engine(saved.data, running=True):
            pass


async def test_a_daemon_without_a_supervisor_is_named(tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    descriptor = lock.take(tmp_path / "engine")
    assert descriptor > 0
    with pytest.raises(BackupError, match="in use by the sandboxd"):
        async with engine(tmp_path, running=False):
            pass
