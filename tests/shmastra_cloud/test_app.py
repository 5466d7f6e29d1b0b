"""The web process as a whole, in a process of its own, driven over its real sockets."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from fastapi import APIRouter

from shmastra_cloud.app import _control
from shmastra_cloud.provider_list import announced
from shmastra_cloud.secrets_at_rest import MasterKeyError


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture
def web(dsn: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    studio = tmp_path / "studio"
    studio.mkdir()
    (studio / "index.html").write_text("<html><head></head></html>")
    port = free_port()
    environ = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": dsn,
        "SHMASTRA_DATA": str(tmp_path),
        "SHMASTRA_PORT": port,
        "SHMASTRA_ENGINE_URL": "http://127.0.0.1:1",
        "SHMASTRA_ENGINE_KEY": "e2b_test",
        "OPENAI_API_KEY": "sk-very-real-key",
        "GROQ_API_KEY": "sk-very-real-key",
        "SHMASTRA_METRICS_TOKEN": "the-metrics-token",
        "E2B_CONNECTION_RETRIES": "0",
    }
    log = tmp_path / "web.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "shmastra_cloud", "web"]
        process = subprocess.Popen(command, env=environ, stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while not _answers(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield {"url": url, "data": str(tmp_path), "log": str(log), **environ}
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert "sk-very-real-key" not in log.read_text()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


def shmastra(web: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "SHMASTRA_DATA": web["data"]}
    command = [sys.executable, "-m", "shmastra_cloud", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)


def test_from_the_invitation_to_the_workspace_page(web: dict[str, str]) -> None:
    invited = shmastra(web, "user", "invite", "ann@example.com", "--json")
    link = json.loads(invited.stdout)["url"]
    assert shmastra(web, "user", "link", "nobody@example.com").returncode == 1
    with httpx.Client(base_url=web["url"], headers={"origin": web["url"]}) as browser:
        assert browser.get("/api/me").json()["code"] == "signed_out"
        assert browser.get(link).status_code == 200
        assert browser.post(link, headers={"origin": "https://evil.example"}).status_code == 403
        assert browser.post(link).headers["location"] == "/workspace"
        assert "Starting your workspace" in browser.get("/workspace").text
        assert browser.get("/studio").headers["location"] == "/workspace?returnTo=%2Fstudio"
        assert browser.get("/ready").json()["database"] == "ok"
        assert browser.get("/nothing").json()["code"] == "not_found"
        with browser.stream("GET", "/api/sandbox/events") as events:
            lines = events.iter_lines()
            assert next(lines) == "event: status"
            assert json.loads(next(lines).removeprefix("data: "))["status"] == "provisioning"
    assert "ann@example.com" in shmastra(web, "sandbox", "list").stdout
    assert asyncio.run(_announced(web["DATABASE_URL"])) == ["groq"]


async def _announced(dsn: str) -> list[str]:
    async with asyncpg.create_pool(dsn, min_size=1) as pool:
        return await announced(pool)


def test_a_wrong_virtual_key_is_refused_in_the_providers_format(web: dict[str, str]) -> None:
    url = f"{web['url']}/api/gateway/openai/v1/models"
    answer = httpx.get(url, headers={"authorization": "Bearer vk_wrong"})
    assert answer.status_code == 401
    assert "message" in answer.json()["error"]


def test_metrics_are_for_who_has_the_token_and_on_the_public_port_only(web: dict[str, str]) -> None:
    token = {"authorization": "Bearer the-metrics-token"}
    httpx.get(f"{web['url']}/api/gateway/openai/v1/models", headers={"authorization": "Bearer vk_wrong"})
    assert httpx.get(f"{web['url']}/metrics").status_code == 401
    text = httpx.get(f"{web['url']}/metrics", headers={**token, "host": "10.1.2.3:3000"}).text
    for line in (
        'shmastra_gateway_refused_total{provider="openai",reason="invalid_api_key",status="401"} 1.0',
        "shmastra_database_up 1.0",
        "shmastra_notifications_connected 1.0",
        "# TYPE shmastra_sandboxes gauge",
        "process_cpu_seconds_total",
    ):
        assert line in text
    path = str(Path(web["data"]) / "run" / "sandbox.sock")
    with httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://cloud") as sandbox:
        assert sandbox.get("/metrics", headers=token).status_code == 404


def test_a_sandboxs_socket_serves_the_gateway_and_the_heal_route_only(web: dict[str, str]) -> None:
    path = str(Path(web["data"]) / "run" / "sandbox.sock")
    with httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://cloud") as sandbox:
        assert sandbox.get("/api/gateway/catalog").status_code == 401
        assert sandbox.post("/api/sandbox/heal", json={"status": "ready"}).status_code == 401
        for closed in ("/", "/workspace", "/api/me", "/users", "/api/mastra/agents"):
            assert sandbox.get(closed).status_code == 404


def test_without_the_studio_bundle_it_refuses_to_start(dsn: str, tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "DATABASE_URL": dsn, "SHMASTRA_DATA": str(tmp_path)}
    environ["SHMASTRA_PORT"] = free_port()
    command = [sys.executable, "-m", "shmastra_cloud", "web"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "make up" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_named_with_the_setting(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        environ = {"PATH": os.environ["PATH"], "DATABASE_URL": "x", "SHMASTRA_DATA": str(tmp_path)}
        command = [sys.executable, "-m", "shmastra_cloud", "web"]
        environ["SHMASTRA_PORT"] = port
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"Port {port}" in done.stderr
    assert "SHMASTRA_PORT" in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        asyncpg.ConnectionDoesNotExistError("connection was closed"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.TooManyConnectionsError("too many clients"),
        asyncpg.InternalServerError("MaxClientsInSessionMode: max clients reached"),
        asyncpg.InterfaceError("connection is closed"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_database_that_is_away_is_said_and_whatever_it_was_is_logged_only(error: Exception) -> None:
    router = APIRouter()

    @router.get("/asks")
    async def asks() -> None:
        raise error

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(_control(router)), base_url="http://t"
    ) as client:
        answer = await client.get("/asks")
    assert (answer.status_code, answer.json()["code"]) == (503, "database_away")
    assert answer.headers["retry-after"] == "2"


async def test_a_secret_that_cannot_be_opened_is_said_without_its_key() -> None:
    router = APIRouter()

    @router.get("/opens")
    async def opens() -> None:
        raise MasterKeyError("A stored secret is sealed under the master key ab12.")

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(_control(router)), base_url="http://t"
    ) as client:
        answer = await client.get("/opens")
    assert (answer.status_code, answer.json()["code"]) == (503, "master_key")
    assert "ab12" not in answer.text
