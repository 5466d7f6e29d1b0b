import socket
from pathlib import Path

import pytest

from sandboxd import sandbox
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


async def test_a_program_goes_in_as_the_user_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets no right that the sandbox itself has not."""
    shown = tmp_path / "shown"
    runc = tmp_path / "runc"
    runc.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {shown}\n')
    runc.chmod(0o755)
    monkeypatch.setattr(sandbox, "RUNC", str(runc))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert await make(tmp_path).start_inside(["echo", "x"], user="root", link=theirs)
        argv = shown.read_text().split()
        assert argv[-3:] == ["i1", "echo", "x"]
        assert argv[argv.index("--user") + 1] == "0:0"
        assert not {"--cap", "--privileged", "-c"} & set(argv)
        runc.write_text("#!/bin/sh\nexit 1\n")
        assert not await make(tmp_path).start_inside(["echo"], user="user", link=theirs)
