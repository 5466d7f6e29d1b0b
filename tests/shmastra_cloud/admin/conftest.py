from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.doubles.engine import Works

from shmastra_cloud import admin as feature
from shmastra_cloud.app import _control, admin_parts
from shmastra_cloud.database import Pool
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.workspaces import Resumer, Workspaces


@pytest.fixture
def engine() -> Works:
    return Works()


@pytest.fixture
async def admin(pool: Pool, vault: Vault, engine: Works) -> AsyncIterator[httpx.AsyncClient]:
    app = _control(feature.router)
    resumer = Resumer(Workspaces(pool, vault), engine)  # type: ignore[arg-type]
    app.state.admin = admin_parts(load_settings(), pool, vault, engine, resumer)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(feature.InProcess(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        yield client
