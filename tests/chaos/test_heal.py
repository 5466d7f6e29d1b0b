"""The dev server is killed, hung and made unable to start: the healer repairs it, or says why it cannot."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from e2b import Sandbox
from tests.chaos.conftest import Teammate
from tests.support.cloud import RunningCloud, wait_until

pytestmark = pytest.mark.engine

PROJECT = "/home/user/shmastra"
INDEX = f"{PROJECT}/src/mastra/index.ts"
SERVERS = "$(pgrep -f '[r]unner/(main|server).mjs')"
IMPATIENT = "POLL=1 ANSWER=1 CURE=2 START=8 REST=0.3 STEADY=3"


@pytest.fixture(scope="module")
def box(cloud: RunningCloud, ann: Teammate) -> Iterator[Sandbox]:
    """Ann's sandbox, its healer made impatient."""
    sandbox = ann.ready()
    lines = "".join(
        f"SHMASTRA_HEALER_{name}_SECONDS={value}\n"
        for name, _, value in (one.partition("=") for one in IMPATIENT.split())
    )
    env = sandbox.files.read(f"{PROJECT}/.env")
    sandbox.files.write(f"{PROJECT}/.env", env + lines)
    sandbox.commands.run("/opt/shmastra/start --only healer")
    wait_until(lambda: log(sandbox).count("the dev server is healthy") > 1, 10, "an impatient healer")
    yield sandbox
    assert "vk_" not in log(sandbox)


def log(box: Sandbox) -> str:
    return box.files.read(f"{PROJECT}/.logs/healer.log")


def healthy(box: Sandbox) -> bool:
    asked = "curl -s -m 1 -o /dev/null -w '%{http_code}' http://127.0.0.1:4111/health || true"
    return box.commands.run(asked).stdout == "200"


def settled(box: Sandbox) -> None:
    """Wait until the dev server is healthy and the healer has seen it."""
    wait_until(lambda: healthy(box), 10, "a first health")
    ends = ("the dev server is healthy", "told the cloud ready (attempt")
    wait_until(lambda: any(end in log(box).splitlines()[-1] for end in ends), 10, "a healer that knows")


def reached(teammate: Teammate, *statuses: str) -> list[str]:
    """Return the latest statuses, oldest first."""
    events = teammate.http.get("/api/sandbox/status").json()["events"]
    return [one["to_status"] for one in reversed(events)][-len(statuses) :]


def test_a_killed_dev_server_is_back_within_seconds(ann: Teammate, box: Sandbox) -> None:
    settled(box)
    before = box.commands.run(f"echo {SERVERS}").stdout.split()
    assert len(before) == 2
    box.commands.run(f"kill -9 {SERVERS}")
    wait_until(lambda: healthy(box), 20, "health")
    assert not set(before) & set(box.commands.run(f"echo {SERVERS}").stdout.split())
    wait_until(lambda: "the dev server has ended" in log(box), 5, "a line in the log")
    wait_until(lambda: ann.http.get("/api/mastra/agents").status_code == 200, 10, "an answer")
    ann.cloud.until(ann.http, "ready", 10)


def test_a_dev_server_that_hangs_is_restarted(ann: Teammate, box: Sandbox) -> None:
    settled(box)
    box.commands.run(f"kill -STOP {SERVERS}")
    wait_until(lambda: reached(ann, "healing") == ["healing"], 15, "a report of healing")
    ann.cloud.until(ann.http, "ready", 30)
    assert healthy(box)
    assert "does not answer; pm2 says online" in log(box)


def test_an_orphaned_server_makes_room(ann: Teammate, box: Sandbox) -> None:
    settled(box)
    (server,) = box.commands.run("pgrep -f [r]unner/server.mjs").stdout.split()
    box.commands.run("kill -9 $(pgrep -f [r]unner/main.mjs)")
    wait_until(
        lambda: server not in box.commands.run("pgrep -f [r]unner/server.mjs || true").stdout.split(),
        25,
        "its end",
    )
    wait_until(
        lambda: '"state":"running"' in box.files.read(f"{PROJECT}/.shmastra/runner.json"), 25, "a new one"
    )
    ann.cloud.until(ann.http, "ready", 20)


def test_code_that_cannot_start_is_broken_until_it_is_mended(ann: Teammate, box: Sandbox) -> None:
    settled(box)
    code = box.files.read(INDEX)
    box.files.write(INDEX, "throw new Error('the model of the moon is missing');\n" + code)
    box.commands.run("pm2 restart shmastra --silent")
    told = ann.cloud.until(ann.http, "broken", 60)
    assert "the model of the moon is missing" in told["error"]
    assert reached(ann, "healing", "broken")[-1] == "broken"
    box.files.write(INDEX, code)
    ann.cloud.until(ann.http, "ready", 40)
    assert reached(ann, "healing", "ready") == ["healing", "ready"]


def test_the_healer_survives_its_own_death_and_rubbish(ann: Teammate, box: Sandbox) -> None:
    began = log(box).count("watching port")
    box.files.write(f"{PROJECT}/.shmastra/healer.json", "{")
    box.commands.run("kill -9 $(pgrep -f /opt/shmastra/[h]ealer)")
    wait_until(lambda: log(box).count("watching port") > began, 15, "another healer")
    used = box.commands.run("cat /proc/$(pgrep -f /opt/shmastra/[h]ealer)/status").stdout
    (resident,) = [int(line.split()[1]) for line in used.splitlines() if line.startswith("VmRSS")]
    assert resident < 40_000, used
    time.sleep(1)
    assert ann.http.get("/api/sandbox/status").json()["status"] == "ready"


def test_pm2s_own_death_is_repaired(ann: Teammate, box: Sandbox) -> None:
    began = log(box).count("watching port")
    box.commands.run("kill -9 $(pgrep -f '[P]M2 v.*God Daemon')")
    wait_until(lambda: log(box).count("watching port") > began, 30, "another healer")
    ann.cloud.until(ann.http, "ready", 20)
    wait_until(lambda: healthy(box), 20, "health")
    listed = json.loads(box.commands.run("pm2 jlist").stdout.splitlines()[-1])
    assert {one["name"]: one["pm2_env"]["status"] for one in listed} == {
        "shmastra": "online",
        "healer": "online",
    }
    assert len(box.commands.run("pgrep -f /opt/shmastra/[h]ealer").stdout.split()) == 1
