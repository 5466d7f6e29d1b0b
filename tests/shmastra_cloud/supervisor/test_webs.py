"""Two web processes on the same sockets: one is killed and replaced, all are told of, all end in order."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.shmastra_cloud.webs import MASTER_KEY, Web, shmastra, web_process
from tests.support.cloud import free_port, wait_until

from shmastra_cloud.supervisor.webs import is_up

TOKEN = {"authorization": "Bearer t0ken"}


def environ(dsn: str) -> dict[str, str]:
    return {
        "DATABASE_URL": dsn,
        "SHMASTRA_MASTER_KEY": MASTER_KEY,
        "SHMASTRA_ENGINE_URL": "http://127.0.0.1:1",
        "SHMASTRA_ENGINE_KEY": "e2b_test",
        "SHMASTRA_METRICS_TOKEN": "t0ken",
        "SHMASTRA_WEB_WORKERS": "2",
        "SHMASTRA_DRAIN_SECONDS": "5",
    }


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        yield listening


def pids(web: Web) -> list[int]:
    """Return the web processes' own, which are the children of the one that was started."""
    found = Path(f"/proc/{web.process.pid}/task/{web.process.pid}/children").read_text()
    return [int(one) for one in found.split()]


def metrics(web: Web) -> str:
    answer = httpx.get(f"{web.url}/metrics", headers=TOKEN, timeout=10)
    assert answer.status_code == 200
    return answer.text


def values(text: str, name: str) -> dict[str, float]:
    """Return a metric's values by process."""
    lines = re.findall(rf'^{name}{{process="(\d)"}} (\S+)$', text, flags=re.MULTILINE)
    return {process: float(value) for process, value in lines}


def test_two_are_told_of_replaced_and_ended(dsn: str, tmp_path: Path, systemd: socket.socket) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    given = environ(dsn) | {"SHMASTRA_SECRETS": str(secrets), "NOTIFY_SOCKET": str(tmp_path / "notify")}
    (secrets / "DATABASE_URL").write_text(given.pop("DATABASE_URL") + "\n")
    with web_process(tmp_path, **given) as web:
        assert systemd.recv(100) == b"READY=1"
        first = pids(web)
        assert len(first) == 2
        for pid in first:
            told_child = Path(f"/proc/{pid}/environ").read_text()
            assert f"DATABASE_URL={dsn}\0" in told_child
            assert not {"SHMASTRA_SECRETS", "NOTIFY_SOCKET"} & {
                line.partition("=")[0] for line in told_child.split("\0")
            }
        told = metrics(web)
        assert values(told, "shmastra_web_process_up") == {"1": 1, "2": 1}
        assert values(told, "shmastra_database_up") == {"1": 1, "2": 1}
        begun = values(told, "process_start_time_seconds")
        assert len(begun) == 2
        assert told.count("# TYPE process_start_time_seconds") == 1

        again = environ(dsn) | {"SHMASTRA_PORT": str(free_port())}
        second = shmastra("--data", str(tmp_path), "web", **again)
        assert second.returncode == 1
        assert b"SHMASTRA_WEB_WORKERS" in second.stderr

        os.kill(first[0], signal.SIGKILL)
        asked = 0

        def replaced() -> bool:
            nonlocal asked
            asked += 1
            assert httpx.get(f"{web.url}/health", timeout=5).status_code == 200
            return len(pids(web)) == 2 and not set(first) <= set(pids(web))

        wait_until(replaced, 15, "a process in place of the one that was killed")
        assert first[1] in pids(web)
        assert asked > 1

        def both() -> bool:
            now = values(metrics(web), "process_start_time_seconds")
            return len(now) == 2 and sum(now[one] != begun[one] for one in now) == 1

        wait_until(both, 15, "the metrics of the new one")
        web.process.send_signal(signal.SIGTERM)
        assert web.process.wait(15) == 0
        assert systemd.recv(100) == b"STOPPING=1"
        assert not any(Path(f"/proc/{pid}").exists() for pid in first)


def test_what_all_would_refuse_is_said_once(dsn: str, tmp_path: Path) -> None:
    tls = {"SHMASTRA_TLS_CERT": str(tmp_path / "no.pem"), "SHMASTRA_TLS_KEY": str(tmp_path / "no.key")}
    done = shmastra("--data", str(tmp_path), "web", **environ(dsn), **tls)
    assert done.returncode == 1
    assert re.fullmatch(rb"shmastra: \S+no.pem cannot be read .*", done.stderr.strip())


async def test_who_has_no_socket_is_not_up(tmp_path: Path) -> None:
    assert not await is_up(tmp_path / "web-1.sock")
