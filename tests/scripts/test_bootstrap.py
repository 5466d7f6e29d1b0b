"""`make up` on a copy of this checkout: killed, without a registry, beside another, in a private folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WAIT = "wait for it, or stop it, and start again.\n"
STATE = Path("/var/lib/shmastra")


def copy_to(target: Path) -> Path:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in listed.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A copy in a folder that only root may enter, as pytest's own are."""
    tmp_path.parent.chmod(0o700)
    target = copy_to(tmp_path / "clone")
    yield target
    shutil.rmtree(state_of(target), ignore_errors=True)


def state_of(clone: Path) -> Path:
    """Return where the clone's program is moved; the number is POSIX's `cksum` of its path."""
    done = subprocess.run(["cksum"], input=str(clone), capture_output=True, text=True, check=True)
    return STATE / done.stdout.split()[0]


def start(clone: Path, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [clone / "scripts/bootstrap", *arguments],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(clone: Path, *arguments: str, **environ: str) -> tuple[int, str]:
    process = start(clone, *arguments, **environ)
    out, said = process.communicate(timeout=240)
    assert process.returncode is not None
    return process.returncode, out + said


@pytest.mark.engine
def test_an_install_that_was_killed_is_finished_by_the_next(clone: Path) -> None:
    assert os.geteuid() == 0, "this test needs root"
    begun = start(clone, "up", "--help")
    assert begun.stderr is not None
    for line in begun.stderr:
        if "installing requirements" in line:
            break
    time.sleep(1)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.communicate()
    status, said = run(clone, "up", "--help")
    assert status == 0, said
    assert "Start everything on this machine" in said
    state = state_of(clone)
    assert str(state) in said
    assert (clone / "data").resolve() == state / "data"
    assert (clone / ".venv").resolve() == state / "venv"
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    told = subprocess.run(
        [
            *as_nobody,
            state / "venv/bin/python",
            "-c",
            "import shmastra_cloud; print(shmastra_cloud.__file__)",
        ],
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert told.stdout.startswith(str(state / "program")), told.stderr
    again, said = run(clone, "up", "--help")
    assert again == 0
    assert "installing" not in said


@pytest.mark.engine
def test_without_a_registry_one_sentence_says_so(clone: Path) -> None:
    status, said = run(clone, "up", "--help", PIP_INDEX_URL="http://127.0.0.1:1/", PIP_RETRIES="0")
    assert status == 1
    assert "PyPI" in said.splitlines()[-1]
    assert not (clone / ".venv/shmastra-stamp").exists()


@pytest.mark.engine
def test_beside_another_run_it_stops_and_where_all_can_read_it_stays() -> None:
    with tempfile.TemporaryDirectory(prefix="shmastra-clone-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        clone = copy_to(Path(folder) / "clone")
        (clone / "data").mkdir()
        with (clone / "data/bootstrap.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            status, said = run(clone, "up", "--help")
        assert status == 1
        assert said == "shmastra: another run is installing into this clone: " + WAIT
        assert not (clone / "data").is_symlink()


@pytest.mark.engine
def test_whoever_is_not_root_goes_on_through_sudo_with_his_settings() -> None:
    assert os.geteuid() == 0, "this test needs root to become another user"
    with tempfile.TemporaryDirectory(prefix="shmastra-clone-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        clone = copy_to(Path(folder) / "clone")
        sudo = Path(folder) / "sudo"
        sudo.write_text('#!/bin/sh\necho "$@"\n')
        sudo.chmod(0o755)
        environ = {"PATH": f"{folder}:/usr/bin:/bin", "OPENAI_API_KEY": "sk-x", "HOME": "/", "OTHER": "x"}
        environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
        done = subprocess.run(
            [clone / "scripts/bootstrap", "up", "--port", "3100"],
            env=environ,
            user=65534,
            group=65534,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=60,
        )
    kept, _, command = done.stdout.removeprefix("--preserve-env=").partition(" ")
    assert set(kept.split(",")) == {"OPENAI_API_KEY", "OTEL_EXPORTER_OTLP_ENDPOINT"}
    assert command == "scripts/bootstrap up --port 3100\n"
    assert "through sudo" in done.stderr
    assert "sk-x" not in done.stdout + done.stderr


def test_install_installs_what_up_needs_and_starts_nothing() -> None:
    status, said = run(ROOT, "install", E2B_API_KEY="elsewhere")
    assert status == 0, said
    assert said.endswith(".venv/bin/shmastra is the program\n")
