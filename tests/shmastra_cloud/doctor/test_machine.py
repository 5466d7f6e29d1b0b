import gzip
from pathlib import Path

import pytest

from shmastra_cloud.doctor import check_machine
from shmastra_cloud.doctor.machine import (
    cgroups,
    disk,
    kernel,
    namespaces,
    python,
    runc,
    runc_is_fixed,
    seccomp,
)
from shmastra_cloud.settings import load_settings


def test_what_is_too_old_is_failed() -> None:
    assert [python(version).status for version in ((3, 10, 9), (3, 11, 2))] == ["failed", "ok"]
    assert [kernel(release).status for release in ("5.10.0-28-amd64", "5.19.1", "6.1.0", "10.0")] == [
        "failed", "ok", "ok", "ok",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("version", "fixed"),
    [
        ("1.1.5+ds1", False),
        ("1.2.7", False),
        ("1.2.8", True),
        ("1.3.2", False),
        ("1.3.3+ds1", True),
        ("1.4.0-rc.2", False),
        ("1.4.0-rc.3", True),
        ("1.4.0", True),
        ("2.0.0", True),
        ("rubbish", False),
    ],
)
def test_which_runc_has_the_fixes(version: str, fixed: bool) -> None:
    assert runc_is_fixed(version) is fixed


def test_a_fix_that_was_carried_back_counts(tmp_path: Path) -> None:
    changes = tmp_path / "changelog.Debian.gz"
    found = runc(changes)
    if found.status == "ok":  # this machine's runc is new enough by its version
        assert not found.fix
        return
    assert "CVE-2025-52881" in found.detail
    with gzip.open(changes, "wt") as file:
        file.write("  * CVE-2025-31133, CVE-2025-52565\n")
    assert "CVE-2025-52881" in runc(changes).detail
    assert "CVE-2025-31133" not in runc(changes).detail
    with gzip.open(changes, "wt") as file:
        file.write("  * CVE-2025-31133, CVE-2025-52565, CVE-2025-52881\n")
    assert runc(changes).status == "ok"


def test_what_the_kernel_lacks_is_named(tmp_path: Path) -> None:
    assert namespaces(tmp_path).status == "failed"
    (tmp_path / "sys/user").mkdir(parents=True)
    (tmp_path / "sys/user/max_user_namespaces").write_text("15000\n")
    assert namespaces(tmp_path).status == "ok"
    assert "memory, pids, cpu" in cgroups(tmp_path).detail
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    assert cgroups(tmp_path).detail == "version 2"
    assert seccomp(tmp_path / "none").status == "failed"


def test_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert str(tmp_path) in disk(tmp_path / "a" / "b").detail


def test_what_only_sandboxes_need_is_skipped_where_they_run_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "runc" in {check.name for check in check_machine(load_settings())}
    monkeypatch.setenv("E2B_API_KEY", "e2b_x")
    monkeypatch.setenv("SHMASTRA_PUBLIC_URL", "https://agents.example.com")
    assert "runc" not in {check.name for check in check_machine(load_settings())}
