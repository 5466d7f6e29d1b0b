import os
from pathlib import Path

from shmastra_cloud.supervisor.postgres import Postgres
from shmastra_cloud.supervisor.privileges import SERVICE, account


def test_a_cluster_is_made_once_and_a_half_made_one_is_thrown_away(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to("/tmp/"):
            folder.chmod(0o755)
    who = account(SERVICE)
    postgres = Postgres(tmp_path, who)
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "rubbish").touch()
    if who is not None:
        os.chown(tmp_path, who.uid, who.gid)
    postgres.prepare()
    assert (postgres.cluster / "PG_VERSION").exists()
    assert "scram-sha-256" in (postgres.cluster / "pg_hba.conf").read_text()
    assert (
        "trust"
        not in (postgres.cluster / "pg_hba.conf")
        .read_text()
        .split("# CAUTION")[-1]
        .replace('"trust"', "")
        .split("# TYPE")[-1]
    )
    assert (tmp_path / "postgres.password").stat().st_mode & 0o777 == 0o600
    before = postgres.dsn
    postgres.prepare()
    assert postgres.dsn == before
    assert "--listen_addresses=" in postgres.argv()


def test_a_long_path_gets_a_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    assert len(str(Postgres(deep, None).sockets)) < 90
