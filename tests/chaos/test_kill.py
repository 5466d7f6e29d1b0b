"""``kill -9`` and Ctrl-C, one at a time, at any moment: everything is back by itself, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from tests.chaos.conftest import Teammate
from tests.support.cloud import RunningCloud, free_port, wait_until

pytestmark = pytest.mark.engine

BACK_SECONDS = 30
KILLED = ["web", "worker", "sandboxd", "postgres"]
STAGES = ["queued", "creating", "starting", "waiting"]
# `make chaos` kills everything at every stage; the short form crosses each once
EVERY = [(name, stage) for name in KILLED for stage in STAGES]
SHORT = [("web", "waiting"), ("worker", "creating"), ("sandboxd", "starting"), ("postgres", "waiting")]
MOMENTS = EVERY if os.environ.get("SHMASTRA_CHAOS") == "full" else SHORT


def answers(teammate: Teammate) -> bool:
    """Tell whether his agents are listed through web, the engine and the dev server."""
    try:
        answer = teammate.http.get("/api/mastra/agents")
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and "assistant" in answer.json()


def thread_of(teammate: Teammate) -> str:
    """Make a thread of the companion's and return its id."""
    body = {"title": "kept", "resourceId": "companion", "threadId": "kept"}
    answer = teammate.http.post("/api/mastra/memory/threads?agentId=companion", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def test_ctrl_c_and_a_new_start_lose_nothing(cloud: RunningCloud, ann: Teammate) -> None:
    box = ann.ready()
    box.files.write("/home/user/shmastra/kept.txt", "mine")
    sandbox_id, thread = box.sandbox_id, thread_of(ann)
    began = time.monotonic()
    cloud.stop()
    assert time.monotonic() - began < 15
    assert "paused" in (cloud.data / "engine/sandboxes" / sandbox_id / "sandbox.json").read_text()
    cloud.start()
    assert ann.http.get("/api/me").json()["email"] == ann.email
    assert ann.ready().sandbox_id == sandbox_id
    assert cloud.sandbox(ann.email).files.read("/home/user/shmastra/kept.txt") == "mine"
    threads = ann.http.get("/api/mastra/memory/threads?agentId=companion&resourceId=companion").json()
    assert thread in [one["id"] for one in threads["threads"]]


@pytest.mark.parametrize("name", KILLED)
def test_what_is_killed_is_back_by_itself(cloud: RunningCloud, ann: Teammate, name: str) -> None:
    box = ann.ready()
    container = (cloud.data / "engine/sandboxes" / box.sandbox_id / "pid").read_text()
    started = Path(f"/proc/{container}/stat").read_text().split()[21]
    before = cloud.pid(name)
    cloud.kill(name)
    wait_until(lambda: cloud.pids()[name] not in ([], [before]), BACK_SECONDS, f"another {name}")
    wait_until(lambda: answers(ann), BACK_SECONDS, "an answer out of the sandbox")
    assert Path(f"/proc/{container}/stat").read_text().split()[21] == started
    assert ann.sandboxes() == [box.sandbox_id]
    assert ann.http.get("/api/me").json()["email"] == ann.email


@pytest.mark.parametrize(("name", "stage"), MOMENTS)
def test_a_kill_while_a_sandbox_is_made_delays_it_only(
    cloud: RunningCloud, bob: Teammate, name: str, stage: str
) -> None:
    bob.http.get("/workspace")
    wait_until(lambda: reached(bob, stage), 20, f"the stage {stage}")
    cloud.kill(name)
    began = time.monotonic()
    wait_until(lambda: is_ready(bob), BACK_SECONDS, "a ready sandbox")
    assert time.monotonic() - began < BACK_SECONDS
    wait_until(lambda: answers(bob), 10, "an answer out of the sandbox")
    assert len(bob.sandboxes()) == 1


def reached(teammate: Teammate, stage: str) -> bool:
    told = teammate.http.get("/api/sandbox/status").json()
    order = [*STAGES, "ready"]
    return told["status"] == "ready" or order.index(told["stage"]) >= order.index(stage)


def is_ready(teammate: Teammate) -> bool:
    try:
        answer = teammate.http.get("/api/sandbox/status")
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and answer.json()["status"] == "ready"


def test_a_killed_supervisor_is_followed_by_the_next_start(cloud: RunningCloud, ann: Teammate) -> None:
    box = ann.ready()
    container = (cloud.data / "engine/sandboxes" / box.sandbox_id / "pid").read_text()
    cloud.kill()
    cloud.start()
    wait_until(lambda: answers(ann), BACK_SECONDS, "an answer out of the sandbox")
    assert Path(f"/proc/{container}").exists()
    assert ann.sandboxes() == [box.sandbox_id]
    assert all(len(found) == 1 for name, found in cloud.pids().items() if name != "demo")


def test_a_second_supervisor_names_the_first(cloud: RunningCloud) -> None:
    done = up("--data", str(cloud.data), "--port", str(free_port()))
    assert done.returncode == 1
    assert cloud.process is not None
    assert str(cloud.process.pid) in done.stderr
    assert cloud.url in done.stderr


def test_a_taken_port_is_refused_before_anything_is_built(cloud: RunningCloud, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for folder in list(tmp_path.parents)[:2]:
        folder.chmod(0o755)
    done = up("--data", str(tmp_path / "data"), "--port", str(cloud.port))
    assert done.returncode == 1
    assert f"Port {cloud.port}" in done.stderr
    assert "--port" in done.stderr
    assert not (tmp_path / "data/engine/templates").exists()
    assert not (tmp_path / "data/postgres").exists()


def up(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "shmastra_cloud", "up", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)
