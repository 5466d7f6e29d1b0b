import uuid

import pytest

from shmastra_cloud.settings import load_settings
from shmastra_cloud.workspaces import Engine, EngineAway


async def test_a_service_that_does_not_answer_is_said_so_without_its_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHMASTRA_ENGINE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SHMASTRA_ENGINE_KEY", "e2b_0123456789abcdef")
    monkeypatch.setenv("E2B_CONNECTION_RETRIES", "0")
    engine = Engine(load_settings())
    try:
        with pytest.raises(EngineAway) as caught:
            await engine.create(uuid.uuid4(), "once")
        assert "0123456789abcdef" not in str(caught.value)
        assert not await engine.is_healthy("abc", None, None)
    finally:
        await engine.aclose()
