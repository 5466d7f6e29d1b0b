"""A web process of its own for a test, with whatever environment, and the command line that speaks to it."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

MASTER_KEY = base64.b64encode(b"k" * 32).decode()  # what the fixture `vault` holds


@dataclass
class Web:
    """A running web process."""

    url: str
    data: Path
    log: Path
    process: subprocess.Popen[bytes]

    def shmastra(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return shmastra("--data", str(self.data), *words, **options)

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "shmastra_cloud", "--data", str(self.data), *words]
        return subprocess.Popen(command, env={"PATH": os.environ["PATH"]}, **options)


def shmastra(
    *words: str, cwd: Path | None = None, stdin: bytes = b"", **environ: str
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "shmastra_cloud", *words]
    whole = {"PATH": os.environ["PATH"], **environ}
    return subprocess.run(command, env=whole, capture_output=True, input=stdin, timeout=120, cwd=cwd)


@contextmanager
def web_process(data: Path, *words: str, **environ: str) -> Iterator[Web]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = environ.get("SHMASTRA_PORT") or free.getsockname()[1]
    if "--only" not in words:
        (data / "studio").mkdir(exist_ok=True)
        (data / "studio" / "index.html").write_text("<html><head></head></html>")
    whole = {"PATH": os.environ["PATH"], "SHMASTRA_DATA": str(data), "SHMASTRA_PORT": str(port), **environ}
    log = data / f"web-{port}.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "shmastra_cloud", "web", *words]
        process = subprocess.Popen(command, env=whole, stdout=out, stderr=out)
    scheme = "https" if "SHMASTRA_TLS_CERT" in environ else "http"
    web = Web(f"{scheme}://127.0.0.1:{port}", data, log, process)
    try:
        deadline = time.monotonic() + 30
        while not _answers(web.url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield web
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", verify=False).status_code == 200
    except httpx.HTTPError:
        return False
