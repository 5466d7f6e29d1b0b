from pathlib import Path

import pytest

from sandboxd import cgroups


@pytest.fixture(params=["pids/shmastra", "shmastra", "unified/shmastra"])
def group(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sandbox's group as v1, v2 and the hybrid of both lay it out."""
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    folder = tmp_path / str(request.param) / "i1"
    folder.mkdir(parents=True)
    return folder


def test_members_and_refusals_are_read_in_every_layout(group: Path) -> None:
    (group / "cgroup.procs").write_text("12\n13\n0\n12\n")
    (group / "pids.events").write_text("max 3\n")
    assert cgroups.folder("i1", "pids") == group
    assert cgroups.pids("i1") == {12, 13}
    assert cgroups.refused_processes("i1") == 3


def test_what_is_gone_has_nobody_in_it(group: Path) -> None:
    assert cgroups.folder("i2", "pids") is None
    assert cgroups.pids("i2") == set()
    assert cgroups.refused_processes("i2") == 0
    assert cgroups.pids("i1") == set()


def test_use_is_read_from_v1s_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    for controller, name, text in (
        ("cpuacct", "cpuacct.usage", "2500000000\n"),
        ("memory", "memory.usage_in_bytes", "5000\n"),
        ("memory", "memory.stat", "cache 1\ntotal_cache 2000\n"),
    ):
        (tmp_path / controller / "shmastra" / "i1").mkdir(parents=True, exist_ok=True)
        (tmp_path / controller / "shmastra" / "i1" / name).write_text(text)
    assert cgroups.cpu_seconds("i1") == 2.5
    assert cgroups.memory("i1") == (5000, 2000)
    assert (cgroups.cpu_seconds("i2"), cgroups.memory("i2")) == (0, (0, 0))
