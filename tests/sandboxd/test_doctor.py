from pathlib import Path

import pytest

from sandboxd import cgroups, doctor
from sandboxd.doctor import examine, missing_fixes


@pytest.mark.parametrize(
    ("version", "fixed"),
    [
        ("1.1.5+ds1", False),
        ("1.2.7", False),
        ("1.2.8", True),
        ("1.3.2", False),
        ("1.3.3", True),
        ("1.4.0", True),
        ("2.0.0", True),
        ("", False),
    ],
)
def test_what_runc_lacks_is_named_by_its_version(version: str, fixed: bool) -> None:
    wanted = () if fixed else ("CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881")
    assert missing_fixes(version) == wanted


def test_what_is_missing_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "RUNC", str(tmp_path / "none"))
    monkeypatch.setattr(doctor, "PROFILE", tmp_path / "none")
    monkeypatch.setattr(doctor, "PROGRAMS", {"no-such-program": "its-package"})
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    found = {check.name: check for check in examine(tmp_path / "data")}
    for name in ("runc", "seccomp", "programs", "cgroups"):
        assert found[name].status == "failed"
        assert found[name].fix
    assert "its-package" in found["programs"].fix
    assert found["template"].status == "warning"
    assert doctor._kernel("5.18.0").status == "failed"
    assert doctor._kernel("6.1.0-13-amd64").status == "ok"


def test_version_2_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    assert doctor._cgroup().status == "ok"
    (tmp_path / "cgroup.controllers").write_text("cpuset io\n")
    assert doctor._cgroup().detail == "version 2 without cpu, memory, pids"
