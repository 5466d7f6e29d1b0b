import asyncio
import os
import subprocess
import sys

import pytest
from tests.shmastra_cloud.asking import ask

from shmastra_cloud.database import Pool
from shmastra_cloud.gateway_app import build_gateway
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.workspaces import Workspaces

# As `shmastra web --only gateway` does it, up to where it would listen.
ALONE = """
import asyncio, sys
import shmastra_cloud.cli, shmastra_cloud.serve, uvloop
from shmastra_cloud.gateway_app import build_gateway
from shmastra_cloud.settings import load_settings

async def main():
    cloud = await build_gateway(load_settings(), sys.argv[1])
    print(*sys.modules)
    for work in cloud.background:
        work.close()
    await cloud.aclose()

uvloop.run(main())
"""
OF_SANDBOXES = (
    "shmastra_cloud.workspaces",
    "shmastra_cloud.studio",
    "shmastra_cloud.templates",
    "shmastra_cloud.supervisor",
    "shmastra_cloud.admin",
    "shmastra_cloud.app",
    "sandboxd",
    "shmastra_healer",
    "e2b",
)
SLOW_TO_LOAD = ("fastapi", "starlette", "jinja2", "httpx", "prometheus_client", "opentelemetry")


def test_alone_it_loads_nothing_of_sandboxes_and_no_framework(dsn: str) -> None:
    environ = {"PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", ALONE, dsn]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.split())
    assert {"shmastra_cloud.gateway", "shmastra_cloud.cli.processes", "uvicorn"} <= loaded
    for closed in OF_SANDBOXES + SLOW_TO_LOAD:
        assert not [name for name in loaded if name == closed or name.startswith(f"{closed}.")]


async def test_its_metrics_are_there_with_a_token_and_else_are_not(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for token, status in (("", 404), ("the-metrics-token", 200)):
        monkeypatch.setenv("SHMASTRA_METRICS_TOKEN", token)
        cloud = await build_gateway(load_settings(), dsn)
        answer = await ask(cloud.apps["tcp"], "/metrics", authorization="Bearer the-metrics-token")
        assert answer.status == status
        assert (b"shmastra_database_up 1.0" in answer.body) is (status == 200)
        assert b"shmastra_sandboxes" not in answer.body
        for work in cloud.background:
            work.close()
        await cloud.aclose()


async def test_a_model_call_keeps_the_sandbox_of_the_keys_owner_awake(
    dsn: str, pool: Pool, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    users = Users(pool, vault)
    user_id = await users.invite("ann@example.com")
    await Workspaces(pool, vault).ensure(user_id)
    await pool.execute("update sandboxes set awake_until = now() - interval '1 hour'")
    cloud = await build_gateway(load_settings(), dsn)
    tasks = [asyncio.create_task(work) for work in cloud.background]
    try:
        bearer = f"Bearer {await users.virtual_key(user_id)}"
        path = "/api/gateway/openai/v1/models"
        answer = await ask(cloud.apps["tcp"], path, host="localhost", authorization=bearer)
        assert answer.status == 503  # no key here, but it was his call
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await cloud.aclose()
    row = await pool.fetchrow("select awake_until > now() as awake, awake_because from sandboxes")
    assert row is not None
    assert (row["awake"], row["awake_because"]) == (True, "a model call")
