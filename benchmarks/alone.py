"""How soon the gateway alone answers: ``python -m benchmarks.alone [--rounds N]``."""

from __future__ import annotations

import argparse
import http.client
import signal
import statistics
import subprocess
import time
from typing import Any

from tests.support.cloud import free_port

from benchmarks.machine import TICKS, Started
from benchmarks.provider import Provider, quick
from benchmarks.results import figure, write
from benchmarks.stage import GATEWAY, PATH, Stage, gateway_environ, stage

PATIENCE_SECONDS = 30
BODY = '{"model":"gpt-5-mini","messages":[{"role":"user","content":"hi"}]}'


def _ask(port: int, method: str, path: str, headers: dict[str, str], body: str | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
    except OSError:
        return 0
    else:
        return answer.status
    finally:
        connection.close()


def _once(here: Stage, provider: Provider) -> tuple[float, float, float]:
    """Return the seconds until health is 200 and until a call is relayed, and the CPU seconds by then."""
    port = free_port()
    log = here.folder / "alone.log"
    with log.open("wb") as out:
        began = time.monotonic()
        environ = gateway_environ(here, provider, port, "alone")
        process = subprocess.Popen(GATEWAY, env=environ, stdout=out, stderr=out)
    try:
        while _ask(port, "GET", "/health", {}) != 200:
            if process.poll() is not None or time.monotonic() > began + PATIENCE_SECONDS:
                raise SystemExit(log.read_text())
            time.sleep(0.002)
        healthy = time.monotonic() - began
        bearer = {"authorization": f"Bearer {here.keys[0]}", "content-type": "application/json"}
        status = _ask(port, "POST", PATH, bearer, BODY)
        relayed = time.monotonic() - began
        if status != 200:
            raise SystemExit(f"the first call was answered {status}: {log.read_text()}")
        return healthy, relayed, Started(process, log).cpu_seconds()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


def rows(here: Stage, provider: Provider, rounds: int) -> list[dict[str, Any]]:
    """From the start of the process, which includes Python's own."""
    _once(here, provider)  # compiles what is not compiled yet
    healthy, relayed, cpu = zip(*(_once(here, provider) for _ in range(rounds)), strict=True)
    return [
        figure("gateway alone, start to the first 200, median", statistics.median(healthy), "s", "<= 1"),
        figure("gateway alone, start to the first 200, worst", max(healthy), "s"),
        figure("gateway alone, start to the first call, median", statistics.median(relayed), "s", "<= 1"),
        figure("gateway alone, start to the first call, worst", max(relayed), "s"),
        figure(f"gateway alone, CPU until then (ticks of {1000 // TICKS} ms)", statistics.median(cpu), "s"),
    ]


def main() -> None:
    """Measure and write ``benchmarks/results/alone.*``."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=15)
    options = asked.parse_args()
    with stage() as here, quick(here.folder, None) as provider:
        found = rows(here, provider, options.rounds)
    write("alone", found)


if __name__ == "__main__":
    main()
