from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.doubles.engine import Works

from shmastra_cloud import admin as feature
from shmastra_cloud.app import _control, admin_parts
from shmastra_cloud.audit import Actor
from shmastra_cloud.database import Pool
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.workspaces import Resumer, Workspaces


@pytest.fixture
def engine() -> Works:
    return Works()


@pytest.fixture
async def admin(pool: Pool, vault: Vault, engine: Works) -> AsyncIterator[httpx.AsyncClient]:
    async with administering(pool, vault, engine) as client:
        yield client


@asynccontextmanager
async def administering(
    pool: Pool, vault: Vault, engine: Works, door: Callable[[Any], Any] = feature.InProcess, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the admin's routes, through a door and with settings changed."""
    app = _control(feature.router)
    found = load_settings().model_copy(update=settings)
    resumer = Resumer(Workspaces(pool, vault), engine)  # type: ignore[arg-type]
    app.state.admin = admin_parts(found, pool, vault, engine, resumer)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(door(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        yield client


class Elsewhere:
    """The door of an admin who is not on the machine."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("state", {})["actor"] = Actor("user", "ann@example.com", "1", "10.0.0.1")
        await self._app(scope, receive, send)
