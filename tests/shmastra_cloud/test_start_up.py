import asyncio
import contextlib
from pathlib import Path

import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.settings import load_settings
from shmastra_cloud.start_up import plan_up
from shmastra_cloud.templates import BuildFailed


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


def test_a_restore_that_was_cut_off_is_finished_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMASTRA_DATA", str(tmp_path))
    staged = tmp_path / "restore.new"
    (staged / "postgres").mkdir(parents=True)
    plan = plan_up(load_settings(), lambda _text: None)
    (staged / "moves.json").write_text('{"names": ["postgres"], "aside": "before"}')
    plan.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["postgres"]
    (staged / "postgres").mkdir(parents=True)
    plan.finish()  # one that had not come so far is rubbish
    assert [path.name for path in tmp_path.iterdir()] == ["postgres"]


def test_the_engine_is_given_its_limits_and_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_DATA", str(tmp_path))
    monkeypatch.setenv("SHMASTRA_SANDBOX_PIDS", "99")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    plan = plan_up(load_settings(), lambda _text: None)
    assert plan.engine_environ == {"SHMASTRA_SANDBOX_PIDS": "99"}
    assert not plan.demo_model


def test_a_further_providers_key_is_for_the_web_processes_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMASTRA_DATA", str(tmp_path))
    monkeypatch.setenv("SHMASTRA_PROVIDERS", "acme=https://llm.acme.io/v1 ACME_KEY")
    monkeypatch.setenv("ACME_KEY", "sk-real")
    monkeypatch.setenv("SHMASTRA_SIGN_IN", "local")
    monkeypatch.setenv("WORKOS_WEBHOOK_SECRET", "whsec_real")
    plan = plan_up(load_settings(), lambda _text: None)
    assert {"ACME_KEY", "GROQ_API_KEY", "OPENAI_API_KEY", "AZURE_OPENAI_API_KEY"} <= plan.web_only
    assert {"SHMASTRA_SIGN_IN", "WORKOS_WEBHOOK_SECRET"} <= plan.web_only
    assert plan.environ["ACME_KEY"] == "sk-real"
    assert "ACME_KEY" not in plan.engine_environ
    assert plan.demo_model


@pytest.mark.engine
async def test_a_build_that_is_stopped_ends_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMASTRA_DATA", str(tmp_path))
    said: list[str] = []
    building = asyncio.create_task(plan_up(load_settings(), said.append).build())
    async with asyncio.timeout(60):
        while not any("Debian packages" in line for line in said):
            await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    building.cancel()
    await asyncio.gather(building, return_exceptions=True)
    async with asyncio.timeout(10):
        while str(tmp_path) in Path("/proc/mounts").read_text() or running(tmp_path):
            await asyncio.sleep(0.05)
    assert not (tmp_path / "engine/templates/base").exists()


def running(data: Path) -> list[str]:
    """Return the command lines of processes that name the folder."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(file.read_bytes().decode(errors="replace"))
    return [line for line in lines if str(data) in line]


async def test_a_build_that_fails_says_why_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMASTRA_DATA", str(tmp_path))
    (tmp_path / "engine").write_text("in the way")
    with pytest.raises(BuildFailed, match="engine") as caught:
        await plan_up(load_settings(), lambda _text: None).build()
    assert "\n" not in str(caught.value)
