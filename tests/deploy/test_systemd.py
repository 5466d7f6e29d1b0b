"""The units of deploy/systemd, as systemd itself reads and judges them; no systemd runs here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.deploy.proxies import DEPLOY
from tests.support.cloud import free_port, wait_until

UNITS = sorted((DEPLOY / "systemd").iterdir())
EXPOSURE = {
    "shmastra-web": 2.0,
    "shmastra-worker@": 2.0,
    "shmastra-migrate": 2.0,
}  # of 10; 9.6 is a unit without any


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay the units out with a program that is there."""
    made = tmp_path_factory.mktemp("units")
    for unit in UNITS:
        text = re.sub(r"/opt/shmastra/\.venv/bin/(shmastra|sandboxd)", "/bin/true", unit.read_text())
        (made / unit.name.replace("@.", "@1.")).write_text(text)
    return made


def analyzed(folder: Path, *words: str) -> str:
    environ = {"SYSTEMD_UNIT_PATH": f"{folder}:/lib/systemd/system", "PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    done = subprocess.run(
        ["systemd-analyze", *words], env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_finds_nothing_wrong(folder: Path) -> None:
    assert len(UNITS) == 6
    assert not analyzed(folder, "verify", *map(str, folder.iterdir())).strip()


@pytest.mark.parametrize("name", EXPOSURE)
def test_what_needs_no_root_is_shut_in(folder: Path, name: str) -> None:
    unit = folder / f"{name.replace('@', '@1')}.service"
    said = analyzed(folder, "security", "--offline=true", "--no-pager", str(unit))
    exposure = re.search(r"exposure level for .*: ([0-9.]+)", said)
    assert exposure is not None
    assert float(exposure[1]) <= EXPOSURE[name]


def test_only_the_engine_and_the_one_machine_are_root() -> None:
    texts = {unit.stem: unit.read_text() for unit in UNITS if unit.suffix == ".service"}
    assert {name for name, text in texts.items() if "User=shmastra" not in text} == {
        "shmastra",
        "shmastra-sandboxd",
    }


def test_every_program_has_the_time_to_end_that_it_takes() -> None:
    seconds = {
        unit.stem: int(found[1])
        for unit in UNITS
        if (found := re.search(r"TimeoutStopSec=(\d+)", unit.read_text()))
    }
    assert seconds["shmastra-web"] >= 25 + 10
    assert seconds["shmastra"] > 15


def test_a_request_waits_at_systemds_socket_until_web_is_up(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "studio").mkdir()
    (tmp_path / "studio" / "index.html").write_text("<html><head></head></html>")
    environ = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": dsn,
        "SHMASTRA_DATA": str(tmp_path),
        "SHMASTRA_ENGINE_URL": "http://127.0.0.1:1",
        "SHMASTRA_ENGINE_KEY": "e2b_test",
    }
    port = free_port()
    listening = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", "--fdname=tcp"]
    passed_on = [word for name in environ for word in ("-E", name)]
    web = [sys.executable, "-m", "shmastra_cloud", "web"]
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen([*listening, *passed_on, *web], env=environ, stdout=out, stderr=out)
    try:
        wait_until(lambda: b"Listening on" in log.read_bytes(), 10, "the socket")
        answer = httpx.get(f"http://127.0.0.1:{port}/health", timeout=30)
        assert answer.json() == {"status": "ok"}
        assert (tmp_path / "run/admin.sock").is_socket()  # which systemd did not pass on
    finally:
        process.terminate()
        assert process.wait(15) == 0, log.read_text()
