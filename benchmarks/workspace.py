"""A workspace's first start and its resuming, against a whole cloud: ``python -m benchmarks.workspace``.

The template is built before anything is measured. A time runs from the request that begins it to the last
byte of what it waits for, over plain HTTP on this machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import httpx
from tests.support.cloud import RunningCloud, running_cloud

from benchmarks.results import figure, write

READ = "/api/mastra/agents"
POLL_SECONDS = 0.01


def first_workspace(cloud: RunningCloud, users: int) -> list[dict[str, Any]]:
    """From pressing the button of a sign-in link until Studio's page and its first answer are there."""
    taken = []
    for number in range(users):
        email = f"first-{number}@example.com"
        link = cloud.link(email)
        with httpx.Client(base_url=cloud.url, headers={"origin": cloud.url}, timeout=60) as browser:
            begun = time.perf_counter()
            assert browser.post(link).status_code == 303
            browser.get("/workspace")
            while browser.get("/api/sandbox/status").json()["status"] != "ready":
                time.sleep(POLL_SECONDS)
            assert browser.get("/studio").status_code == 200
            assert browser.get(READ).status_code == 200
            taken.append(time.perf_counter() - begun)
        cloud.shmastra("sandbox", "delete", email, "--yes")
    return [
        figure("sign-in to Studio usable, template built, p50", statistics.median(taken), "s", "<= 3"),
        figure(f"sign-in to Studio usable, worst of {users}", max(taken), "s"),
    ]


def _first_byte_ms(browser: httpx.Client) -> float:
    begun = time.perf_counter()
    with browser.stream("GET", READ) as answer:
        assert answer.status_code == 200
        next(answer.iter_raw())
        return (time.perf_counter() - begun) * 1000


def resume(cloud: RunningCloud, rounds: int) -> list[dict[str, Any]]:
    """From a request to a frozen sandbox to the first byte of its answer, beside the same while it runs."""
    email = "resume@example.com"
    browser = cloud.signed_in(email)
    browser.get("/workspace")
    cloud.until(browser, "ready")
    frozen, running = [], []
    for _ in range(rounds):
        assert browser.get("/studio").status_code == 200  # its page is open, so that reading counts
        cloud.shmastra("sandbox", "pause", email)
        cloud.until(browser, "paused")
        frozen.append(_first_byte_ms(browser))
        running.append(_first_byte_ms(browser))
    return [
        figure("frozen sandbox, request to first byte, p50", statistics.median(frozen), "ms", "<= 20"),
        figure(f"frozen sandbox, request to first byte, worst of {rounds}", max(frozen), "ms"),
        figure("the same request while it runs, p50", statistics.median(running), "ms"),
    ]


def main() -> None:
    """Run both and write ``benchmarks/results/workspace.*``."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--users", type=int, default=7)
    asked.add_argument("--rounds", type=int, default=15)
    options = asked.parse_args()
    with running_cloud({"SHMASTRA_DEMO_MODEL": "off"}, name="bench") as cloud:
        rows = first_workspace(cloud, options.users)
        rows += resume(cloud, options.rounds)
    write("workspace", rows)


if __name__ == "__main__":
    main()
