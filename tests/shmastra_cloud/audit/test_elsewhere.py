import os

import pytest

from shmastra_cloud.audit import record_in, this_user
from shmastra_cloud.database import Pool


async def test_a_command_writes_its_line_where_there_is_a_log_and_goes_on_where_there_is_none(
    dsn: str, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    await record_in(dsn, "template.build", "shmastra", failed=True)
    row = await pool.fetchrow("select * from audit_log")
    assert row is not None
    assert (row["action"], row["outcome"], row["actor_id"], row["origin"]) == (
        "template.build",
        "failed",
        str(os.getuid()),
        "command line",
    )
    assert this_user().on_the_machine
    await pool.execute("alter table audit_log rename to gone")
    await record_in(dsn, "template.build", "shmastra")
    await record_in("postgresql://x@127.0.0.1:1/x", "template.build", "shmastra")
    assert caplog.text.count("could not be written") == 2
