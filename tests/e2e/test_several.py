"""Two web processes on one machine, a third and a second worker on another: one database, nothing sticky."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from tests.doubles.llm_provider import REAL_KEY
from tests.shmastra_cloud.webs import Web, web_process
from tests.support.cloud import RunningCloud, running_cloud, wait_until
from tests.support.serving import Served

CHAT = "/api/gateway/openai/v1/chat/completions"
ASK = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
SOON = 1.0
ANN = "ann@example.com"


@pytest.fixture(scope="module")
def first(provider: Served) -> Iterator[RunningCloud]:
    environ = {"OPENAI_API_KEY": REAL_KEY, "OPENAI_BASE_URL": f"{provider.url}/v1"}
    with running_cloud({**environ, "SHMASTRA_WEB_WORKERS": "2"}, name="several") as here:
        yield here


def environ_of(first: RunningCloud) -> dict[str, str]:
    """Return what another machine is given: the same database, master key, public address and service."""
    return {
        **first.environ,
        "DATABASE_URL": first.dsn,
        "SHMASTRA_MASTER_KEY": (first.data / "master.key").read_text().strip(),
        "SHMASTRA_PUBLIC_URL": first.url,
        "SHMASTRA_ENGINE_URL": first.engine["api_url"],
        "SHMASTRA_ENGINE_KEY": first.engine["api_key"],
        "SHMASTRA_WEB_WORKERS": "1",
    }


@contextmanager
def worker(environ: dict[str, str], data: Path) -> Iterator[None]:
    argv = [sys.executable, "-m", "shmastra_cloud", "worker", "--data", str(data)]
    log = data / "worker.log"
    with log.open("wb") as out:
        process = subprocess.Popen(argv, env={"PATH": os.environ["PATH"], **environ}, stdout=out, stderr=out)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, log.read_text()


@pytest.fixture(scope="module")
def second(first: RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    data, environ = tmp_path_factory.mktemp("second"), environ_of(first)
    with worker(environ, data), web_process(data, **environ) as web:
        yield web


@pytest.fixture(scope="module")
def ann(first: RunningCloud, second: Web) -> Iterator[dict[str, httpx.Client]]:
    """Ann's session, begun at the first machine and used at both."""
    here = first.signed_in(ANN)
    there = httpx.Client(base_url=second.url, headers={"origin": first.url}, cookies=here.cookies, timeout=60)
    with there:
        yield {"first": here, "second": there}


def within(seconds: float, true: Callable[[], bool]) -> None:
    """See that something becomes true, and in time."""
    began = time.monotonic()
    wait_until(true, seconds + 2, "a change that all are told of")
    assert time.monotonic() - began < seconds


def test_a_session_of_one_is_one_of_the_other(ann: dict[str, httpx.Client], first: RunningCloud) -> None:
    assert len(first.pids()["web"]) == 2
    for _ in range(4):  # whichever process of the first machine answers
        assert {one.get("/api/me").json()["email"] for one in ann.values()} == {ANN}


def test_what_one_changes_the_other_tells_at_once(ann: dict[str, httpx.Client], first: RunningCloud) -> None:
    assert ann["second"].get("/workspace").status_code in (200, 302)
    first.until(ann["first"], "ready")
    with ann["second"].stream("GET", "/api/sandbox/events") as events:
        lines = events.iter_lines()
        assert told(lines)["status"] == "ready"
        began = time.monotonic()
        assert ann["first"].post("/api/sandbox/restart").status_code == 202
        assert told(lines)["status"] == "provisioning"
        assert time.monotonic() - began < SOON
    first.until(ann["second"], "ready")
    assert ann["second"].get("/api/mastra/agents").status_code == 200


def told(lines: Iterator[str]) -> dict[str, str]:
    """Return the data of a stream's next event."""
    found: dict[str, str] = json.loads(
        next(line for line in lines if line.startswith("data: ")).removeprefix("data: ")
    )
    return found


def test_either_worker_does_what_the_other_does_not(first: RunningCloud, second: Web) -> None:
    first.kill("worker", signal.SIGSTOP)
    try:
        bob = first.signed_in("bob@example.com")
        bob.get("/workspace")
        first.until(bob, "ready")
    finally:
        first.kill("worker", signal.SIGCONT)
    rows = first.rows(
        "select to_status, count(*) from sandbox_events e join sandboxes s on s.id = e.sandbox"
        " join users u on u.id = s.user_id where u.email = 'bob@example.com' group by 1"
    )
    assert {row["to_status"]: row["count"] for row in rows} == {"provisioning": 1, "ready": 1}


def test_a_budget_and_a_key_are_the_same_everywhere(
    first: RunningCloud, second: Web, ann: dict[str, httpx.Client]
) -> None:
    key = first.sandbox(ANN).commands.run("grep ^OPENAI_API_KEY= .env", cwd="/home/user/shmastra").stdout
    whose = {"authorization": f"Bearer {key.strip().partition('=')[2]}"}

    def statuses() -> set[int]:
        with ExitStack() as opened:  # a new connection each, to meet both processes of the first machine
            clients = [opened.enter_context(httpx.Client(timeout=30)) for _ in range(6)]
            return {
                client.post(url + CHAT, json=ASK, headers=whose).status_code
                for client in clients
                for url in (first.url, second.url)
            }

    assert statuses() == {200}
    first.shmastra("key", "budget", ANN, "--usd-per-month", "0")
    within(SOON, lambda: statuses() == {429})
    first.shmastra("key", "budget", ANN, "--usd-per-month", "none")
    within(SOON + 1, lambda: statuses() == {200})
    first.shmastra("key", "rotate", ANN)
    within(SOON, lambda: statuses() == {401})


def test_a_session_that_ends_is_ended_everywhere(
    first: RunningCloud, second: Web, ann: dict[str, httpx.Client]
) -> None:
    def statuses() -> set[int]:
        return {one.get("/api/me").status_code for one in ann.values() for _ in range(3)}

    assert statuses() == {200}
    cookies = dict(ann["first"].cookies)
    assert ann["second"].post("/logout").status_code == 303
    for one in ann.values():
        one.cookies.update(cookies)
    within(SOON, lambda: statuses() == {401})
