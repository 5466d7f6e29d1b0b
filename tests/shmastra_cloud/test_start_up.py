from pathlib import Path

import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.settings import load_settings
from shmastra_cloud.start_up import plan_up


async def test_the_admins_link_is_shown_until_one_has_signed_in(
    dsn: str, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMASTRA_DATA", str(tmp_path))
    said: list[str] = []
    plan = plan_up(load_settings(), said.append)
    await plan.prepare(dsn)
    await plan.on_ready(dsn)
    assert said[0] == "Shmastra Cloud is ready: http://127.0.0.1:3000"
    assert "/login/link/" in said[1]
    await pool.execute("update users set first_sign_in_at = now()")
    said.clear()
    await plan.on_ready(dsn)
    assert len(said) == 1


def test_the_engine_is_given_its_limits_and_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_DATA", str(tmp_path))
    monkeypatch.setenv("SHMASTRA_SANDBOX_PIDS", "99")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    plan = plan_up(load_settings(), lambda _text: None)
    assert plan.engine_environ == {"SHMASTRA_SANDBOX_PIDS": "99"}
    assert not plan.demo_model
