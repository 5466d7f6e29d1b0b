"""A real engine over real containers, on a base template that is built once per machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2b import Sandbox

from sandboxd.base_template import build_base

CACHE = Path("/var/cache/shmastra-test/templates")
DOMAIN = "box.example.com"
KEY = "e2b_0123456789abcdef0123456789abcdef01234567"


@dataclass
class Daemon:
    """A running ``sandboxd``."""

    data: Path
    port: int
    gateway: Path
    process: subprocess.Popen[bytes] | None = None
    path: str = os.environ["PATH"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def options(self) -> dict[str, Any]:
        return {"api_key": KEY, "api_url": self.url, "sandbox_url": self.url}

    def start(self) -> None:
        argv = [sys.executable, "-m", "sandboxd", "serve", "--listen", f"127.0.0.1:{self.port}"]
        argv += ["--data", str(self.data), "--gateway-socket", str(self.gateway)]
        argv += ["--domain", DOMAIN]
        limits = {"SHMASTRA_SANDBOX_MEMORY_MB": "256", "SHMASTRA_SANDBOX_DISK_MB": "160"}
        environ = {
            "PATH": self.path,
            "SANDBOXD_API_KEY": KEY,
            "SHMASTRA_SANDBOX_PIDS": "64",
            **limits,
        }
        with (self.data / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, env=environ, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None, (self.data / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def end(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(20)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.HTTPError:
            return False

    def create(self, **more: Any) -> Sandbox:
        return Sandbox.create("base", timeout=3600, **more, **self.options)


@contextlib.contextmanager
def running_daemon(path: str = os.environ["PATH"]) -> Iterator[Daemon]:
    """A daemon with a folder of its own, which leaves nothing behind."""
    assert os.geteuid() == 0, "the engine's tests need root"
    build_base(CACHE, print)
    data = Path(tempfile.mkdtemp(prefix="shmastra-engine-", dir="/tmp"))
    data.chmod(0o711)
    (data / "templates").symlink_to(CACHE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    engine = Daemon(data, port, data / "gateway.sock", path=path)
    engine.start()
    try:
        yield engine
    finally:
        headers = {"X-API-KEY": KEY}
        for one in httpx.get(f"{engine.url}/v2/sandboxes", headers=headers).json():
            httpx.delete(f"{engine.url}/sandboxes/{one['sandboxID']}", headers=headers, timeout=30)
        engine.end()
        shutil.rmtree(data)


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    with running_daemon() as engine:
        yield engine


@pytest.fixture(scope="session")
def sandbox(daemon: Daemon) -> Sandbox:
    """Give a sandbox that many tests share."""
    return daemon.create()
