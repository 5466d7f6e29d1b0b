"""Gateway processes of their own on one database, that can be killed, and a database that can go away."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

import httpx


@dataclass
class Process:
    """A gateway process."""

    url: str
    popen: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(10)

    def stop(self) -> None:
        self.popen.send_signal(signal.SIGTERM)
        assert self.popen.wait(20) == 0, self.log.read_text()


@contextmanager
def gateways(folder: Path, count: int, *, away: bool = False, **environ: str) -> Iterator[list[Process]]:
    """Start processes at the same time; those that a test has not ended are stopped.

    ``away``: the database goes away, of which its driver logs tracebacks.
    """
    started = [_start(folder, number, environ) for number in range(count)]
    try:
        deadline = time.monotonic() + 60
        for one in started:
            while not _answers(one.url):
                assert one.popen.poll() is None, one.log.read_text()
                assert time.monotonic() < deadline, one.log.read_text()
                time.sleep(0.05)
        yield started
        for one in started:
            if one.popen.poll() is None:
                one.stop()
            assert away or "Traceback" not in one.log.read_text(), one.log.read_text()
    finally:
        for one in started:
            if one.popen.poll() is None:
                one.kill()


def _start(folder: Path, number: int, environ: dict[str, str]) -> Process:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / f"gateway-{number}-{port}.log"
    whole = {"PATH": os.environ["PATH"], "SHMASTRA_DATA": str(folder), "SHMASTRA_PORT": str(port), **environ}
    command = [sys.executable, "-m", "shmastra_cloud", "web", "--only", "gateway"]
    with log.open("wb") as out:
        return Process(
            f"http://127.0.0.1:{port}", subprocess.Popen(command, env=whole, stdout=out, stderr=out), log
        )


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


class Wire:
    """A way to a database on a unix socket that can be cut; ``dsn`` leads through it."""

    def __init__(self, dsn: str, folder: Path) -> None:
        parts = urlsplit(dsn)
        self._there = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self.dsn = dsn.partition("?")[0] + f"?host={folder}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{folder}/.s.PGSQL.5432")
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._other: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._up, self._ended = True, False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Close all connections, and every new one at once."""
        with self._lock:
            self._up = False
            for one in list(self._other):
                self._drop(one)

    def mend(self) -> None:
        self._up = True

    def close(self) -> None:
        self._ended = True
        self._thread.join(10)
        self.cut()
        self._listener.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._ended:
            for key, _ in self._selector.select(0.05):
                with self._lock:
                    one = key.fileobj
                    assert isinstance(one, socket.socket)
                    if one is self._listener:
                        self._accept()
                    elif one in self._other:
                        self._pass(one)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        if not self._up:
            near.close()
            return
        far = socket.socket(socket.AF_UNIX)
        far.connect(self._there)
        for one, other in ((near, far), (far, near)):
            self._other[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass(self, one: socket.socket) -> None:
        try:
            data = one.recv(65536)
            if data:
                self._other[one].sendall(data)
                return
        except OSError:
            pass
        self._drop(one)

    def _drop(self, one: socket.socket) -> None:
        other = self._other.pop(one, None)
        for each in (one, other):
            if each is not None and each.fileno() >= 0:
                self._selector.unregister(each)
                each.close()
        if other is not None:
            self._other.pop(other, None)


@contextmanager
def wire(dsn: str) -> Iterator[Wire]:
    with TemporaryDirectory(prefix="wire-", dir="/tmp") as folder:
        made = Wire(dsn, Path(folder))
        try:
            yield made
        finally:
            made.close()
