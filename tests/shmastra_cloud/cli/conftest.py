from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.sandboxd.conftest import Daemon, daemon
from tests.shmastra_cloud.housing import House, engine_environment, house
from tests.shmastra_cloud.webs import MASTER_KEY, Web, web_process

from shmastra_cloud.database import Pool
from shmastra_cloud.secrets_at_rest import Vault

__all__ = ["daemon"]


@pytest.fixture
async def ann(daemon: Daemon, pool: Pool, vault: Vault) -> AsyncIterator[House]:
    made = await house(daemon, pool, vault)
    yield made
    made.sandbox.kill()


@pytest.fixture
def web(dsn: str, tmp_path: Path, daemon: Daemon) -> Iterator[Web]:
    environ = {"DATABASE_URL": dsn, "SHMASTRA_MASTER_KEY": MASTER_KEY, **engine_environment(daemon)}
    with web_process(tmp_path, **environ) as running:
        yield running
