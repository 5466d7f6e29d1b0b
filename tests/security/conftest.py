from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.security.support import Cloud, start_cloud, stop_cloud

from shmastra_cloud.database import migrate, open_pool


async def new_database(postgres: str) -> str:
    """Make a migrated database and return its address."""
    name = f"s{secrets.token_hex(6)}"
    control = await asyncpg.connect(postgres)
    await control.execute(f"create database {name}")
    await control.close()
    dsn = postgres.replace("/postgres?", f"/{name}?")
    pool = await open_pool(dsn)
    await migrate(pool)
    await pool.close()
    return dsn


@pytest.fixture
def own_dsn(postgres: str) -> str:
    """Give a migrated database that a synchronous test may break."""
    return asyncio.run(new_database(postgres))


@pytest.fixture(scope="session")
def shared_cloud(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Start one web process for all tests that leave it as it was."""
    cloud = start_cloud(asyncio.run(new_database(postgres)), Path(tmp_path_factory.mktemp("cloud")) / "data")
    yield cloud
    stop_cloud(cloud)


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Iterator[Cloud]:
    """Give that process, with upstreams that have seen nothing yet; see that it still lives after."""
    shared_cloud.provider.reset()
    shared_cloud.engine.reset()
    yield shared_cloud
    assert shared_cloud.process.poll() is None, shared_cloud.log.read_text()
    assert b" 200 OK" in shared_cloud.ask("GET /health")
