"""Machines that the cloud cannot run on, played by programs that stand earlier in PATH."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PREFLIGHT = Path(__file__).parents[2] / "scripts" / "preflight"
PLAIN = {"uname": 'case $1 in -s) echo Linux;; -m) echo x86_64;; -r) echo "${KERNEL:-6.1.0-18}";; esac'}


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "proc/sys/user").mkdir(parents=True)
    (tmp_path / "proc/sys/user/max_user_namespaces").write_text("15000\n")
    for name, script in PLAIN.items():
        program(tmp_path, name, script)
    return tmp_path


def program(machine: Path, name: str, script: str) -> None:
    (machine / name).write_text(f"#!/bin/sh\n{script}\n")
    (machine / name).chmod(0o755)


def preflight(machine: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    told = {"PATH": f"{machine}:/usr/bin:/bin", "SHMASTRA_PROC": str(machine / "proc"), **environ}
    return subprocess.run([PREFLIGHT, *arguments], env=told, capture_output=True, text=True, timeout=30)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> bool:
    """Tell whether it stopped with one sentence that holds these words."""
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1
    return all(word in done.stderr for word in words)


def test_a_machine_that_serves_passes(machine: Path) -> None:
    done = preflight(machine, "1024")
    assert (done.returncode, done.stderr) == (0, "")


def test_another_system_is_named(machine: Path) -> None:
    program(machine, "uname", "echo Darwin")
    assert refused(preflight(machine), "Darwin", "Linux only")


def test_another_processor_is_named(machine: Path) -> None:
    program(machine, "uname", "case $1 in -s) echo Linux;; *) echo aarch64;; esac")
    assert refused(preflight(machine), "aarch64", "x86-64")


@pytest.mark.parametrize("kernel", ["5.18.19-generic", "4.19.0", "5.4.0-150-generic"])
def test_an_older_kernel_is_named(machine: Path, kernel: str) -> None:
    assert refused(preflight(machine, KERNEL=kernel), kernel, "5.19")


@pytest.mark.parametrize("kernel", ["5.19.0", "6.1.0-18-amd64", "10.0"])
def test_a_kernel_that_is_new_enough_passes(machine: Path, kernel: str) -> None:
    assert preflight(machine, KERNEL=kernel).returncode == 0


def test_an_older_python_is_named(machine: Path) -> None:
    program(machine, "old-python", "exit 1")
    assert refused(preflight(machine, SHMASTRA_PYTHON=str(machine / "old-python")), "older than 3.11")
    assert refused(preflight(machine, SHMASTRA_PYTHON="/nowhere/python3"), "missing", "apt-get install")


def test_a_full_disk_is_named_with_what_is_needed(machine: Path) -> None:
    program(machine, "df", 'echo head; echo "/dev/x 1 1 2048 1% /"')
    assert refused(preflight(machine, "1048576"), "2 MB are free", "1024 MB are needed")


def test_without_root_and_sudo_it_stops(machine: Path) -> None:
    program(machine, "id", "echo 1000")
    for name in ("cat", "awk", "df"):
        (machine / name).symlink_to(f"/usr/bin/{name}")
    (machine / "sh").symlink_to("/bin/sh")
    only = {"PATH": str(machine), "SHMASTRA_PROC": str(machine / "proc")}
    done = subprocess.run(["/bin/sh", PREFLIGHT], env=only, capture_output=True, text=True, timeout=30)
    assert refused(done, "need root", "sudo", "E2B_API_KEY")
    done = subprocess.run(
        ["/bin/sh", PREFLIGHT],
        env={**only, "E2B_API_KEY": "e2b_x"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0


def test_without_user_namespaces_it_stops(machine: Path) -> None:
    (machine / "proc/sys/user/max_user_namespaces").write_text("0\n")
    assert refused(preflight(machine), "user namespaces are off", "sysctl")
