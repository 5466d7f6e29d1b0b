"""A sandbox's folders under a test's own, a pm2 that is a small program, a dev server on a real socket."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shmastra_healer.place import Place

KEY = f"vk_5f0c6e0e-5f5c-4c37-9d5d-0a51b7a1c001_{'a1' * 24}"
# As pm2: `jlist` prints what stands in `list`, anything else is written down and does what `does` says.
PM2 = """#!/bin/sh
here={here}
if [ "$1" = jlist ]; then cat $here/list; exit 0; fi
echo "$(basename $0) $*" >> $here/calls
. $here/does
"""
# Answers 200, writes its pid as pm2 would, and says that it runs.
SERVER = """
import http.server, json, os, sys, time
home, project, port = sys.argv[1:4]
open(home + "/pids/shmastra-0.pid", "w").write(str(os.getpid()))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer.allow_reuse_address = True
server = http.server.HTTPServer(("127.0.0.1", int(port)), Handler)
json.dump({"state": "running", "since": str(time.time())}, open(project + "/.shmastra/runner.json", "w"))
server.serve_forever()
"""


def place_in(folder: Path, port: int = 1, cloud: str = "http://127.0.0.1:1") -> Place:
    """Make the folders of a sandbox, with a pm2 that does nothing."""
    for name in ("project/.logs", "project/.shmastra", "pm2/pids", "bin"):
        (folder / name).mkdir(parents=True)
    (folder / "list").write_text("[]")
    does(folder, ":")
    for name in ("pm2", "start"):
        (folder / "bin" / name).write_text(PM2.format(here=folder))
        (folder / "bin" / name).chmod(0o755)
    (folder / "project/.env").write_text(f"CLOUD_URL={cloud}\nOPENAI_API_KEY={KEY}\n") if cloud else None
    return Place(folder / "project", folder / "pm2", str(folder / "bin/start"), str(folder / "bin/pm2"), port)


def does(folder: Path, script: str) -> None:
    """Say what a start or restart does."""
    (folder / "does").write_text(script + "\n")


def lists(folder: Path, status: str, seconds: float = 100) -> None:
    """Say what pm2 knows of the dev server."""
    env = {"status": status, "pm_uptime": int((time.time() - seconds) * 1000)}
    others = {"name": "healer", "pm2_env": {"status": "online", "pm_uptime": 0}}
    (folder / "list").write_text(json.dumps([others, {"name": "shmastra", "pm2_env": env}]))


def calls(folder: Path) -> list[str]:
    """Return how pm2 and the start command were called, but for questions."""
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


def start_script(folder: Path, place: Place) -> str:
    """Return a shell line that starts a dev server, as pm2 would."""
    (folder / "server.py").write_text(SERVER)
    words = [sys.executable, folder / "server.py", place.pm2_home, place.project, place.port]
    return " ".join(map(str, words)) + " >/dev/null 2>&1 </dev/null &"


def launch(folder: Path, place: Place) -> int:
    """Start a dev server, a child of nobody's, and return its pid."""
    (place.project / ".shmastra/runner.json").unlink(missing_ok=True)
    subprocess.run(["/bin/sh", "-c", start_script(folder, place)], check=True)
    until(lambda: place.runner() is not None and place.pid() is not None)
    pid = place.pid()
    assert pid is not None
    return pid


def end(place: Place) -> None:
    """End the dev server where one runs."""
    pid = place.pid()
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGKILL)


def until(true: Callable[[], object], seconds: float = 15) -> None:
    """Wait until something is true."""
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.02)


class Cloud:
    """The cloud's route on a real socket: keeps reports, answers with the next of ``statuses``, else 200."""

    def __init__(self) -> None:
        self.reports: list[dict[str, object]] = []
        self.keys: list[str | None] = []
        self.statuses: list[int] = []
        self.url = ""

    @property
    def told(self) -> list[object]:
        """The statuses that were reported."""
        return [report["status"] for report in self.reports]

    def take(self, path: str, key: str | None, body: bytes) -> int:
        """Answer one report."""
        assert path == "/api/sandbox/heal"
        status = self.statuses.pop(0) if self.statuses else 200
        self.keys.append(key)
        if status == 200:
            self.reports.append(json.loads(body))
        return status


@contextmanager
def running_cloud() -> Iterator[Cloud]:
    """Serve a cloud's route."""
    cloud = Cloud()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(cloud.take(self.path, self.headers["authorization"], body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        cloud.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield cloud
        finally:
            server.shutdown()
            thread.join(5)
