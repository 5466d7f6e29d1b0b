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
