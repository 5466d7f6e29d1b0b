import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sandboxd.conftest import CACHE, KEY, Daemon

from sandboxd.cli import _bind, limits_from_env
from sandboxd.spec import Limits


def sandboxd(*argv: str, given: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandboxd", *argv],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], **environ},
    )


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits_from_env() == Limits()
    monkeypatch.setenv("SHMASTRA_SANDBOX_MEMORY_MB", "128")
    monkeypatch.setenv("SHMASTRA_SANDBOX_CPUS", "0.5")
    assert limits_from_env() == Limits(memory_mb=128, cpus=0.5)


def test_small_pieces_are_not_held_back() -> None:
    """asyncio turns Nagle's algorithm off on sockets whose protocol is said only."""
    with _bind("127.0.0.1", 0) as bound:
        assert bound.proto == socket.IPPROTO_TCP


@pytest.mark.engine
def test_sandboxes_are_listed_used_and_deleted_from_the_command_line(daemon: Daemon) -> None:
    box = daemon.create()
    where = ("--data", str(daemon.data))
    told = sandboxd("list", "--json", *where, SANDBOXD_API_KEY=KEY)
    assert box.sandbox_id in [one["sandboxID"] for one in json.loads(told.stdout)]
    assert box.sandbox_id in sandboxd("list", *where, SANDBOXD_API_KEY=KEY).stdout
    box.pause()
    words = ["--", "sh", "-c", "echo out; echo 'e r r' >&2; exit 7"]
    done = sandboxd("exec", *where, box.sandbox_id, *words, SANDBOXD_API_KEY=KEY)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "e r r\n", 7)
    assert sandboxd("logs", *where, "--json", box.sandbox_id, SANDBOXD_API_KEY=KEY).returncode == 0
    assert sandboxd("kill", *where, box.sandbox_id, given="n\n", SANDBOXD_API_KEY=KEY).returncode == 1
    assert box.is_running()
    assert sandboxd("kill", *where, box.sandbox_id, given="y\n", SANDBOXD_API_KEY=KEY).returncode == 0
    gone = sandboxd("exec", *where, box.sandbox_id, "--", "true", SANDBOXD_API_KEY=KEY)
    assert (gone.returncode, "was not found" in gone.stderr) == (1, True)
    wrong = sandboxd("list", *where, SANDBOXD_API_KEY="wrong")
    assert (wrong.returncode, "key" in wrong.stderr) == (1, True)


@pytest.mark.engine
def test_a_second_daemon_on_one_folder_is_told_of_the_first(daemon: Daemon) -> None:
    assert daemon.process is not None
    done = sandboxd("serve", "--data", str(daemon.data), "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert f"pid {daemon.process.pid}" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.engine
def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "templates").symlink_to(CACHE)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = sandboxd("serve", "--data", str(tmp_path), "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"127.0.0.1:{port} cannot be listened on" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.engine
def test_a_key_is_made_kept_to_root_and_said_so(tmp_path: Path) -> None:
    (tmp_path / "templates").symlink_to(CACHE)
    argv = [sys.executable, "-u", "-m", "sandboxd", "serve", "--data", str(tmp_path)]
    environ = {"PATH": os.environ["PATH"]}
    with subprocess.Popen(
        [*argv, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True, env=environ
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline() + process.stdout.readline()
        assert "serving at http://127.0.0.1:" in said
        process.terminate()
        assert process.wait(20) == 0
    key = (tmp_path / "api-key").read_text().strip()
    assert str(tmp_path / "api-key") in said
    assert key not in said
    assert key.startswith("e2b_")
    assert (tmp_path / "api-key").stat().st_mode & 0o777 == 0o600


@pytest.mark.engine
def test_the_doctor_says_what_it_found(daemon: Daemon) -> None:
    told = sandboxd("doctor", "--data", str(daemon.data), "--json")
    found = {one["name"]: one for one in json.loads(told.stdout)}
    assert {"name", "status", "detail", "fix"} == set(found["runc"])
    assert found["template"]["status"] == "ok"
    assert found["daemon"]["detail"] == daemon.url
    assert told.returncode == (1 if any(one["status"] == "failed" for one in found.values()) else 0)
    assert "runc" in sandboxd("doctor", "--data", str(daemon.data)).stdout
