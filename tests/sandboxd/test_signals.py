import subprocess
from pathlib import Path

import pytest

from sandboxd import cgroups, signals
from sandboxd.errors import WrongState


async def test_only_members_of_the_sandboxs_own_group_are_signalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of this machine whose group has the same number is not one."""
    with subprocess.Popen(["/bin/sleep", "60"], start_new_session=True) as bystander:  # noqa: ASYNC220
        group = tmp_path / "shmastra" / "i1"
        group.mkdir(parents=True)
        (group / "cgroup.procs").write_text(f"{bystander.pid}\n")
        (group / "cgroup.events").write_text("frozen 1\nfrozen 0\n")
        monkeypatch.setattr(cgroups, "ROOT", tmp_path)
        assert await signals.signal_group("i1", bystander.pid, 9) == 0
        assert bystander.poll() is None
        assert not (group / "cgroup.freeze").exists()
        monkeypatch.setattr(signals, "PROC", _proc(tmp_path, bystander.pid, "0::/shmastra/i1"))
        assert await signals.signal_group("i1", 7, 9) == 0
        assert await signals.signal_group("i1", 6, 0) == 1
        assert await signals.signal_group("i1", 5, 0) == 0, "a session gets SIGKILL only"
        assert await signals.signal_group("i1", 5, 9) >= 1
        assert (group / "cgroup.freeze").read_text() == "0", (
            "it was there after every round, so all stood still"
        )
        assert bystander.wait(10) == -9


def _proc(folder: Path, pid: int, group: str) -> Path:
    made = folder / "proc" / str(pid)
    made.mkdir(parents=True)
    (made / "status").write_text(f"Name:\tx\nNSpgid:\t{pid}\t6\nNSsid:\t{pid}\t5\n")
    (made / "cgroup").write_text(group)
    return folder / "proc"


async def test_what_does_not_run_cannot_be_signalled() -> None:
    with pytest.raises(WrongState, match="does not run"):
        await signals.signal_group("i-none", 1, 9)
