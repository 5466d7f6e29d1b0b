import os
import subprocess
from pathlib import Path

import pytest

from shmastra_cloud.supervisor import Unreadable
from shmastra_cloud.supervisor.privileges import SERVICE, account, check_readable, own, owner_of, wrapped


@pytest.mark.engine
def test_a_service_runs_without_roots_rights(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "this test needs root"
    who = account(SERVICE)
    assert who is not None
    assert account(SERVICE) == who
    status = Path("/proc/self/status")
    told = subprocess.run(
        wrapped(["cat", str(status)], who), capture_output=True, text=True, check=True
    ).stdout
    values = dict(line.split(":\t", 1) for line in told.splitlines() if ":\t" in line)
    assert values["Uid"].split() == [str(who.uid)] * 4
    assert values["Groups"].split() == []
    assert int(values["CapEff"], 16) == 0
    assert values["NoNewPrivs"] == "1"
    tmp_path.chmod(0o755)
    secret = own(tmp_path / "secret", None)
    with pytest.raises(Unreadable, match=str(secret)):
        check_readable(who, [secret])


@pytest.mark.engine
def test_whose_a_folder_is_decides_who_may_work_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = account(SERVICE)
    assert who is not None
    assert owner_of(tmp_path) is None
    os.chown(tmp_path, who.uid, who.gid)
    assert owner_of(tmp_path) == who
    os.chown(tmp_path, 4_000_000, 4_000_000)  # of no name
    assert getattr(owner_of(tmp_path), "name", None) == "4000000"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Unreadable, match=f"{tmp_path} belongs to the user 4000000.*sudo"):
        owner_of(tmp_path)


@pytest.mark.engine
def test_without_network_there_is_only_a_loopback_that_is_down() -> None:
    told = subprocess.run(
        wrapped(["cat", "/proc/net/dev"], account(SERVICE), no_network=True),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = [line.split(":")[0].strip() for line in told.splitlines() if ":" in line]
    assert "lo" in names
    assert not any(name.startswith(("eth", "en", "wl")) for name in names)
