import os
import tempfile
from pathlib import Path

import asyncpg
import pytest

from shmastra_cloud.supervisor import SERVICE, Postgres, account, serving
from shmastra_cloud.supervisor.serving import accepts, postgres_child


@pytest.mark.parametrize("deep", [False, True])
async def test_a_cluster_is_served_for_a_while_and_nothing_is_left(deep: bool) -> None:
    """Also where the data folder's name is too long for a socket, which is then elsewhere."""
    with tempfile.TemporaryDirectory(prefix="shmastra-serving-", dir="/tmp") as name:
        outer, data = Path(name), Path(name) / ("x" * 90 if deep else "data")
        outer.chmod(0o711)
        data.mkdir()
        data.chmod(0o711)
        who = account(SERVICE)
        async with serving(data, who) as dsn:
            assert await accepts(dsn)
            connection = await asyncpg.connect(dsn)
            await connection.execute("create table kept (a int)")
            await connection.close()
        assert not await accepts(dsn)
        assert not (data / "postgres" / "postmaster.pid").exists()
        sockets = Postgres(data, who).sockets
        assert sockets.is_relative_to(data) == (not deep)
        assert sockets.exists() == (not deep)
        if deep:
            return
        async with serving(data, who) as dsn:
            connection = await asyncpg.connect(dsn)
            assert await connection.fetchval("select count(*) from kept") == 0
            await connection.close()


async def test_an_address_where_nobody_is_accepts_nothing(tmp_path: Path) -> None:
    assert not await accepts(f"postgresql://nobody@/none?host={tmp_path}")


def test_the_child_is_the_one_that_the_supervisor_keeps(tmp_path: Path) -> None:
    (tmp_path / "postgres.password").write_text("secret")
    child = postgres_child(Postgres(tmp_path, None), tmp_path)
    assert child.name == "postgres"
    assert "secret" not in " ".join(child.argv)
    assert os.path.basename(child.argv[0]) == "postgres"  # noqa: PTH119
