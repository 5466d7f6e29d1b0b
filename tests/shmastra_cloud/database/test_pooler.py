"""Debian's pgbouncer, in each of its modes, before the tests' Postgres."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from tests.support.cloud import free_port, wait_until

from shmastra_cloud.database import UnsuitableDatabase, open_pool
from shmastra_cloud.database.pooler import pools_transactions

PGBOUNCER = "/usr/sbin/pgbouncer"
SETTINGS = """
[databases]
* = host={socket} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
logfile = {folder}/log
"""


@pytest.fixture
def bouncer(request: pytest.FixtureRequest, dsn: str) -> Iterator[str]:
    """Give the address of the database through a pooler in the mode that the test names."""
    parts, port = urlsplit(dsn), free_port()
    nobody = pwd.getpwnam("nobody")
    folder = Path(tempfile.mkdtemp(prefix="shmastra-pgbouncer-", dir="/tmp"))
    settings = folder / "settings.ini"
    (where,) = parse_qs(parts.query)["host"]
    settings.write_text(SETTINGS.format(socket=where, port=port, mode=request.param, folder=folder))
    who = {}
    if os.geteuid() == 0:  # it refuses to run as root
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid}
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        folder.chmod(0o755)
    process = subprocess.Popen([PGBOUNCER, settings], stderr=subprocess.PIPE, **who)  # type: ignore[call-overload]
    try:
        wait_until(lambda: _answers(port), 10, "pgbouncer")
        yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
    finally:
        process.terminate()
        process.communicate(timeout=10)
        shutil.rmtree(folder)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("bouncer", ["transaction", "statement"], indirect=True)
async def test_a_pooler_that_lends_a_connection_for_a_transaction_is_refused(bouncer: str) -> None:
    with pytest.raises(UnsuitableDatabase, match="session-mode string"):
        await open_pool(bouncer, patience=5)


@pytest.mark.parametrize("bouncer", ["session"], indirect=True)
async def test_a_pooler_that_lends_a_connection_for_a_session_serves(bouncer: str) -> None:
    pool = await open_pool(bouncer, patience=5, size=2)
    try:
        heard = asyncio.Event()
        listener = await asyncpg.connect(bouncer)
        await listener.add_listener("user", lambda *_: heard.set())
        await pool.execute('notify "user"')
        await asyncio.wait_for(heard.wait(), 5)
        listener.terminate()
    finally:
        await pool.close()


async def test_a_database_without_a_pooler_is_none(dsn: str) -> None:
    assert not await pools_transactions(dsn)
