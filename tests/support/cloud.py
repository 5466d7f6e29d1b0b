"""The real thing: ``shmastra up`` on a data folder of its own, to be used, stopped, killed and started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from e2b import Sandbox
from tests.support import cache

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "artefacts"
READY_SECONDS = 120
STOP_SECONDS = 20
NOT_PASSED_ON = (
    "SHMASTRA_",
    "E2B_",
    "OPENAI_",
    "ANTHROPIC_",
    "GOOGLE_",
    "GEMINI_",
    "COMPOSIO_",
    "WORKOS_",
    "OIDC_",
)
# What stands in the command line of each process; DATA is the data folder.
WORDS = {
    "web": "-m shmastra_cloud web",
    "worker": "-m shmastra_cloud worker",
    "sandboxd": "-m sandboxd serve",
    "postgres": "bin/postgres -D",
    "demo": "supervisor.demo_model",
}


class NotReady(Exception):  # what it said is the message
    """The cloud ended, or printed no ready line in time."""


class RunningCloud:
    """One installation in a folder of its own under /tmp, and its supervisor while that runs.

    ``environ`` is added to this process's environment, of which no setting of the cloud's is passed on;
    change it between ``stop`` and ``start`` to start with other settings.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, *, name: str = "cloud") -> None:
        self.name = name
        self.environ = dict(environ or {})
        self.data = Path(tempfile.mkdtemp(prefix=f"shmastra-{name}-", dir="/tmp"))
        self.data.chmod(0o711)
        self.port = free_port()
        self.said: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._using = contextlib.ExitStack()
        made = self._using.enter_context(cache.in_use())
        (self.data / "engine").mkdir()
        (self.data / "engine" / "templates").symlink_to(made.templates)
        (self.data / "cache").symlink_to(made.packages)

    @property
    def url(self) -> str:
        """The address that browsers use."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_link(self) -> str:
        """The one-time link of this start; there is none once an admin has signed in."""
        wait_until(lambda: any("/login/link/" in line for line in self.said), 5, "the one-time link")
        return next(line for line in self.said if "/login/link/" in line).split()[-1]

    @property
    def dsn(self) -> str:
        """The embedded database's address."""
        password = (self.data / "postgres.password").read_text().strip()
        return f"postgresql://shmastra:{password}@/postgres?host={self.data / 'run' / 'pg'}"

    @property
    def engine(self) -> dict[str, Any]:
        """The options that point the E2B SDK at this cloud's engine."""
        key, port = ((self.data / "engine" / name).read_text().strip() for name in ("api-key", "port"))
        url = f"http://127.0.0.1:{port}"
        return {"api_key": key, "api_url": url, "sandbox_url": url}

    def start(self, seconds: float = READY_SECONDS) -> None:
        """Start the supervisor and wait for its ready line.

        Raises:
            NotReady: it ended, or said nothing of being ready in time.
        """
        self.said = []
        ready = threading.Event()
        argv = [
            sys.executable,
            "-m",
            "shmastra_cloud",
            "up",
            "--port",
            str(self.port),
            "--data",
            str(self.data),
        ]
        self.process = subprocess.Popen(
            argv,
            cwd="/",
            env=self._environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process, ready), daemon=True)
        self._reader.start()
        if not ready.wait(seconds) or self.process.poll() is not None:
            self.kill()
            raise NotReady("\n".join(self.said) or "It said nothing.")

    def stop(self) -> None:
        """Press Ctrl-C and see that everything ends in order."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._joined()
        assert status == 0, self.said

    def kill(self, name: str | None = None, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process by its name, or to the supervisor; wait for the end of a killed one."""
        pids = [self.pid(name)] if name else [self.process.pid] if self.process else []
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if name is None and self.process is not None:
            self.process.wait(STOP_SECONDS)
            self._joined()
        elif number == signal.SIGKILL:
            wait_until(lambda: not any(_alive(pid) for pid in pids), 5, f"the end of {name}")

    def restart(self) -> None:
        """Ctrl-C, then start again on the same data."""
        self.stop()
        self.start()

    def pids(self) -> dict[str, list[int]]:
        """Return the pids of this cloud's processes by name, those of the supervisor's orphans too."""
        found: dict[str, list[int]] = {name: [] for name in WORDS}
        for folder in Path("/proc").glob("[0-9]*"):
            words = _read(folder / "cmdline").replace("\0", " ")
            name = next((name for name, said in WORDS.items() if said in words), None)
            if name and _alive(int(folder.name)) and self._is_ours(words, folder):
                found[name].append(int(folder.name))
        return found

    def pid(self, name: str) -> int:
        """Return the pid of the one process of that name."""
        (found,) = self.pids()[name]
        return found

    def shmastra(self, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run the command line against this cloud; ``status`` None takes any exit status."""
        argv = [sys.executable, "-m", "shmastra_cloud", "--data", str(self.data), *arguments]
        done = subprocess.run(argv, cwd="/", env=self._environ(), capture_output=True, text=True, timeout=60)
        assert status is None or done.returncode == status, (arguments, done.stdout, done.stderr)
        return done

    def json(self, *arguments: str) -> Any:
        """Run a command with ``--json`` and return what it printed."""
        return json.loads(self.shmastra(*arguments, "--json").stdout)

    def link(self, email: str) -> str:
        """Invite a user where there is none of that email, and return a one-time link."""
        url = self.json("user", "invite", email)["url"]
        assert isinstance(url, str)
        return url

    def signed_in(self, email: str) -> httpx.Client:
        """Return a client with a session of the user's, sending what a page of the cloud's own sends.

        It is closed with the cloud.
        """
        client = httpx.Client(base_url=self.url, headers={"origin": self.url}, timeout=60, trust_env=False)
        self._using.callback(client.close)
        answer = client.post(self.link(email))
        assert answer.status_code == 303, answer.text
        return client

    def until(self, client: httpx.Client, status: str, seconds: float = 60) -> dict[str, Any]:
        """Wait until the client's sandbox has a status; returns what ``/api/sandbox/status`` says."""
        told: dict[str, Any] = {}

        def there() -> bool:
            told.update(client.get("/api/sandbox/status").json())
            return bool(told["status"] == status)

        wait_until(there, seconds, f"the status {status}", told)
        return told

    def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Ask the embedded database; in a thread, since a browser's loop may be running in this one."""

        async def fetch() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.dsn, timeout=10)
            try:
                return await connection.fetch(query, *arguments)
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: asyncio.run(fetch())).result(30)

    def sandbox(self, email: str) -> Sandbox:
        """Return the user's sandbox through the E2B SDK, to run commands inside."""
        return Sandbox.connect(self.json("sandbox", "show", email)["sandbox_id"], **self.engine)

    def destroy(self) -> None:
        """End what runs, delete sandboxes and data; raises AssertionError if anything is left."""
        with contextlib.suppress(OSError, httpx.HTTPError, ValueError):
            self._delete_sandboxes()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        self.kill()
        for pid in [pid for pids in self.pids().values() for pid in pids]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(self.pids().values()), 10, "the end of every process", self.pids())
        sweep(self.data)
        shutil.rmtree(self.data)
        self._using.close()

    def keep_logs(self) -> None:
        """Copy the logs to ``artefacts/``."""
        target = ARTEFACTS / f"{self.name}-logs"
        shutil.rmtree(target, ignore_errors=True)
        if (self.data / "logs").is_dir():
            shutil.copytree(self.data / "logs", target)
        target.mkdir(parents=True, exist_ok=True)
        (target / "up.log").write_text("\n".join(self.said))

    def _environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_PASSED_ON)}
        kept.pop("DATABASE_URL", None)
        return {**kept, "PYTHONUNBUFFERED": "1", **self.environ}

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stdout is not None
        with process.stdout as said:
            for line in said:
                self.said.append(line.rstrip())
                if line.startswith("Shmastra Cloud is ready"):
                    ready.set()
        ready.set()

    def _joined(self) -> None:
        if self._reader is not None and self.process is not None and self.process.stdout is not None:
            self._reader.join(5)
            self.process.stdout.close()

    def _is_ours(self, words: str, folder: Path) -> bool:
        return str(self.data) in words or f"SHMASTRA_DATA={self.data}\0" in _read(folder / "environ") + "\0"

    def _delete_sandboxes(self) -> None:
        engine = self.engine
        headers = {"X-API-KEY": engine["api_key"]}
        with httpx.Client(base_url=engine["api_url"], headers=headers, timeout=30, trust_env=False) as client:
            for one in client.get("/v2/sandboxes").json():
                client.delete(f"/sandboxes/{one['sandboxID']}")


@contextlib.contextmanager
def running_cloud(environ: Mapping[str, str] | None = None, *, name: str = "cloud") -> Iterator[RunningCloud]:
    """Give a started cloud, and take it away with all that it made; its logs are kept on an error."""
    cloud = RunningCloud(environ, name=name)
    try:
        cloud.start()
        yield cloud
    except BaseException:
        cloud.keep_logs()
        raise
    finally:
        cloud.destroy()


def sweep(data: Path) -> None:
    """Delete containers and mounts under a data folder; raises AssertionError if one stays."""
    runc = ["runc", "--root", str(data / "engine" / "runc")]
    for folder in (data / "engine" / "sandboxes").glob("*"):
        subprocess.run([*runc, "delete", "--force", folder.name], capture_output=True, timeout=30)
    for target in reversed(_mounts(data)):
        subprocess.run(["umount", "--lazy", target], capture_output=True, timeout=30)
    assert not _mounts(data)
    left = subprocess.run([*runc, "list", "--quiet"], capture_output=True, text=True, timeout=30)
    assert not left.stdout.split()


def _mounts(data: Path) -> list[str]:
    lines = Path("/proc/mounts").read_text().splitlines()
    return [line.split()[1] for line in lines if line.split()[1].startswith(f"{data}/")]


def wait_until(true: Callable[[], bool], seconds: float, what: str, *more: Any) -> None:
    """Wait for something to become true; raises AssertionError naming it when it does not in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}: {more}"
        time.sleep(0.05)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on; below the range that the kernel gives to others."""
    while True:
        port = 20000 + secrets.randbelow(12000)
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) != 0:
                return port


def _alive(pid: int) -> bool:
    status = _read(Path(f"/proc/{pid}/stat"))
    return bool(status) and status.rpartition(")")[2].split()[0] != "Z"


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
