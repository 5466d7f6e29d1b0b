import asyncio

import pytest

from shmastra_cloud import readiness
from shmastra_cloud.readiness import Readiness


async def well() -> None:
    return


async def missing() -> str:
    return "missing: `shmastra template build` makes it"


async def away() -> None:
    raise ConnectionRefusedError


async def silent() -> None:
    await asyncio.sleep(60)


async def test_all_well_is_200() -> None:
    answer = await Readiness({"database": well, "sandboxes": well}).answer()
    assert answer == (200, {"database": "ok", "sandboxes": "ok"})


async def test_what_is_wrong_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "ASK_SECONDS", 0.05)
    checks = {"database": away, "template": missing, "sandboxes": silent}
    status, told = await Readiness(checks).answer()
    assert status == 503
    assert told["database"] == told["sandboxes"] == "does not answer"
    assert "shmastra template build" in told["template"]


async def test_many_who_ask_at_once_cost_one_question() -> None:
    asked: list[str] = []

    async def counted() -> None:
        asked.append("once")

    ready = Readiness({"database": counted})
    await asyncio.gather(*(ready.answer() for _ in range(50)))
    assert asked == ["once"]
