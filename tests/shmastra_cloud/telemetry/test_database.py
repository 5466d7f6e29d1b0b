import asyncio
from typing import Any
from uuid import UUID

import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.telemetry import database
from shmastra_cloud.telemetry.database import Asked, Told
from shmastra_cloud.workspaces import Workspaces


async def test_sandboxes_are_counted_by_status(store: Workspaces, user_id: UUID, pool: Pool) -> None:
    await store.ensure(user_id)
    assert await Asked(pool, sandboxes=True).answer() == Told(up=True, sandboxes={"provisioning": 1})
    assert await Asked(pool, sandboxes=False).answer() == Told(up=True, sandboxes=None)


class Counted:
    """A database that counts what it is asked, and may answer nothing at all."""

    def __init__(self, *, silent: bool = False) -> None:
        self.asked, self.silent = 0, silent

    async def fetch(self, _query: str) -> list[Any]:
        self.asked += 1
        if self.silent:
            await asyncio.sleep(60)
        return [("ready", 3)]


async def test_many_scrapes_cost_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    there: Any = Counted()
    asked = Asked(there, sandboxes=True)
    told = await asyncio.gather(*(asked.answer() for _ in range(20)))
    assert (there.asked, told[0]) == (1, Told(up=True, sandboxes={"ready": 3}))
    monkeypatch.setattr(database, "KEEP_SECONDS", 0)
    asked._until = 0
    await asked.answer()
    assert there.asked == 2


async def test_a_silent_database_is_down_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "ASK_SECONDS", 0.02)
    there: Any = Counted(silent=True)
    asked = Asked(there, sandboxes=True)
    async with asyncio.timeout(2):
        assert await asked.answer() == Told(up=False, sandboxes=None)
        assert await asked.answer() == Told(up=False, sandboxes=None)
    assert there.asked == 1
