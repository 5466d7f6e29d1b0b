import os

import pytest

from shmastra_cloud.backup.announcing import announce, announce_in
from shmastra_cloud.database import Pool


async def test_a_line_says_what_was_done_and_by_whom(pool: Pool, dsn: str) -> None:
    await announce(pool, "backup.restore", "the backup of today", new_key=False)
    await announce_in(dsn, "backup.make", "/b", sandboxes=3)
    rows = await pool.fetch(
        "select action, outcome, actor_kind, actor_id, origin, target from audit_log order by id"
    )
    assert [row["action"] for row in rows] == ["backup.restore", "backup.make"]
    assert {(row["outcome"], row["actor_kind"], row["actor_id"], row["origin"]) for row in rows} == {
        ("done", "os", str(os.getuid()), "command line")
    }
    assert rows[1]["target"] == "/b"


async def test_a_database_without_a_log_is_no_reason_to_fail(
    empty_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    await announce_in(empty_dsn, "backup.make", "/b")
    await announce_in("postgresql://nobody@/none?host=/nonexistent", "backup.make", "/b")
    told = [message[:24] for message in caplog.messages if message.startswith("that backup.make")]
    assert told == ["that backup.make was don"] * 2
