import os
from pathlib import Path

import pytest
from e2b import Sandbox
from e2b.exceptions import NotFoundException, SandboxException

pytestmark = pytest.mark.engine


def test_files_go_in_and_come_out_whole(sandbox: Sandbox) -> None:
    data = os.urandom(20 << 20)
    sandbox.files.write("/home/user/big", data)
    assert sandbox.files.read("/home/user/big", format="bytes") == data
    sandbox.files.remove("/home/user/big")
    sandbox.files.write_files(
        [{"path": "/home/user/one", "data": "1"}, {"path": "/home/user/x/two", "data": "2"}]
    )
    assert sandbox.files.read("/home/user/x/two") == "2"
    with pytest.raises(NotFoundException):
        sandbox.files.read("/home/user/none")


def test_a_link_leads_only_where_the_user_may_go(sandbox: Sandbox) -> None:
    """The host's own files are not to be had, whatever a path in the sandbox points to."""
    marker = Path("/etc/shmastra-host-marker")
    marker.write_text("the host")
    try:
        sandbox.commands.run("ln -sfn /etc /home/user/link; ln -sfn /proc/1/root/etc /home/user/root")
        for path in ("/home/user/link", "/home/user/root", "/proc/self/root/etc", "/../../etc"):
            with pytest.raises(SandboxException):
                sandbox.files.read(f"{path}/{marker.name}")
        with pytest.raises(SandboxException):
            sandbox.files.write("/home/user/link/evil", "x")
        assert not Path("/etc/evil").exists()
    finally:
        marker.unlink()


def test_a_link_swapped_during_many_writes_never_reaches_the_host(sandbox: Sandbox) -> None:
    host = Path("/tmp/shmastra-swap-target")
    host.mkdir(exist_ok=True)
    swap = "cd /home/user; while :; do ln -sfn /tmp/shmastra-swap-target d; ln -sfn /home/user/real d; done"
    sandbox.commands.run("mkdir -p /home/user/real")
    swapping = sandbox.commands.run(swap, background=True)
    try:
        for number in range(20):
            try:
                sandbox.files.write(f"/home/user/d/f{number}", "x")
            except SandboxException:
                continue
        assert list(host.iterdir()) == []
    finally:
        sandbox.commands.kill(swapping.pid)
        host.rmdir()
