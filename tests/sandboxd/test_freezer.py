from pathlib import Path

import pytest

from sandboxd import cgroups, freezer
from sandboxd.errors import WrongState
from sandboxd.freezer import freeze, thaw


async def test_what_does_not_run_cannot_be_frozen() -> None:
    for act in (freeze, thaw):
        with pytest.raises(WrongState, match="does not run"):
            await act("i-none")


@pytest.mark.parametrize(
    ("control", "state", "frozen", "thawed"),
    [
        ("freezer/shmastra/i1/freezer.state", "freezer/shmastra/i1/freezer.state", "FROZEN", "THAWED"),
        ("shmastra/i1/cgroup.freeze", "shmastra/i1/cgroup.events", "1", "0"),
    ],
)
async def test_each_version_has_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, control: str, state: str, frozen: str, thawed: str
) -> None:
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    (tmp_path / control).parent.mkdir(parents=True)
    (tmp_path / state).write_text("populated 1\nfrozen 1\nfrozen 0\n")
    (tmp_path / control).touch()
    await freeze("i1")
    assert (tmp_path / control).read_text() == frozen
    await thaw("i1")
    assert (tmp_path / control).read_text() == thawed


async def test_what_does_not_come_to_a_stop_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    monkeypatch.setattr(freezer, "SECONDS", 0.05)
    (tmp_path / "shmastra" / "i1").mkdir(parents=True)
    (tmp_path / "shmastra" / "i1" / "cgroup.events").write_text("frozen 0\n")
    with pytest.raises(WrongState, match="could not be frozen"):
        await freeze("i1")
