from pathlib import Path

import pytest

from sandboxd.errors import WrongState
from sandboxd.sandbox import Sandbox
from sandboxd.spec import Limits


def make(folder: Path) -> Sandbox:
    return Sandbox(
        "i1",
        folder,
        folder / "none",
        first_uid=1_000_000,
        limits=Limits(),
        runc_root=folder / "runc",
        gateway=None,
        egress=list,
    )


async def test_one_that_was_not_started_has_no_ports(tmp_path: Path) -> None:
    with pytest.raises(WrongState):
        await make(tmp_path).connect(80)
    assert not await make(tmp_path).adopt()


def test_a_command_goes_in_as_the_user_that_was_asked_for(tmp_path: Path) -> None:
    argv = make(tmp_path).command(["echo", "x"], user="root", cwd="/tmp", env={"A": "1"})
    assert argv[-3:] == ["i1", "echo", "x"]
    assert argv[argv.index("--user") + 1] == "0:0"
    assert argv[argv.index("--env") + 1] == "A=1"
    assert "--cap" not in argv
    assert "--privileged" not in argv
