"""Debian's pgbouncer, in each of its modes, before the tests' Postgres."""

import asyncio
import gc
import json
from pathlib import Path

import asyncpg
import pytest
from tests.shmastra_cloud.database.bouncers import bouncer
from tests.shmastra_cloud.webs import MASTER_KEY
from tests.support.cloud import free_port
from typer.testing import CliRunner

from shmastra_cloud.cli import app
from shmastra_cloud.database import UnsuitableDatabase, open_pool
from shmastra_cloud.database.pooler import pools_transactions


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("on_socket", [False, True])
async def test_a_pooler_that_lends_a_connection_for_a_transaction_is_refused(
    dsn: str, mode: str, on_socket: bool
) -> None:
    with bouncer(dsn, mode, on_socket=on_socket) as address:  # noqa: SIM117 -- the order is what matters
        with pytest.raises(UnsuitableDatabase, match="session-mode string"):
            await open_pool(address, patience=5)


@pytest.mark.parametrize("on_socket", [False, True])
async def test_a_pooler_that_lends_a_connection_for_a_session_serves(dsn: str, on_socket: bool) -> None:
    with bouncer(dsn, "session", on_socket=on_socket) as address:
        pool = await open_pool(address, patience=5, size=2)
        heard = asyncio.Event()
        listener = await asyncpg.connect(address)
        await listener.add_listener("user", lambda *_: heard.set())
        await pool.execute('notify "user"')
        await asyncio.wait_for(heard.wait(), 5)
        listener.terminate()
        await pool.close()


async def test_a_database_without_a_pooler_is_none(dsn: str) -> None:
    assert not await pools_transactions(dsn)


ENTRIES = {
    "up": ["up"],
    "web": ["web"],
    "the gateway alone": ["web", "--only", "gateway"],
    "worker": ["worker"],
    "migrate": ["migrate"],
    "an admin's command": ["user", "list"],
    "a rotation": ["key", "rotate-master"],
}


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set what every entry needs to come as far as its database."""
    (tmp_path / "studio").mkdir()
    (tmp_path / "studio" / "index.html").write_text("<html><head></head></html>")
    tmp_path.chmod(0o711)
    for name, value in {
        "SHMASTRA_DATA": str(tmp_path),
        "SHMASTRA_MASTER_KEY": MASTER_KEY,
        "SHMASTRA_PORT": str(free_port()),
        "SHMASTRA_PUBLIC_URL": "https://agents.example.com",
        "E2B_API_KEY": "e2b_none",
        "E2B_API_URL": "http://127.0.0.1:1",
        "SHMASTRA_DEMO_MODEL": "off",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("shmastra_cloud.start_up.is_complete", lambda _data: True)
    return tmp_path


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a process that is refused ends with its sockets
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_entry_refuses(dsn: str, installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bouncer(dsn, "transaction") as address:
        monkeypatch.setenv("DATABASE_URL", address)
        for name, words in ENTRIES.items():
            said = CliRunner().invoke(app, words)
            assert isinstance(said.exception, UnsuitableDatabase), (name, said.exception, said.output)
            assert "session-mode string" in str(said.exception), name
        said = CliRunner().invoke(app, ["doctor", "--json"])
        (told,) = [check for check in json.loads(said.stdout) if check["name"] == "database"]
        assert (said.exit_code, told["status"]) == (1, "failed")
        assert "session-mode string" in told["detail"]
    gc.collect()
