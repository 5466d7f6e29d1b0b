import os
import socket
import tempfile
import time
from pathlib import Path

import httpx
import pytest
from e2b import Sandbox
from e2b.exceptions import NotFoundException, SandboxException
from tests.sandboxd.conftest import Daemon

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


def resident_kb(daemon: Daemon) -> int:
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def test_the_daemon_holds_no_file_however_large(daemon: Daemon, sandbox: Sandbox) -> None:
    sandbox.files.write("/home/user/warm", b"x" * 100_000)
    before, size = resident_kb(daemon), 60 << 20
    piece = os.urandom(1 << 20)
    sandbox.files.write("/home/user/big", (piece for _ in range(60)))
    got = sum(len(one) for one in sandbox.files.read("/home/user/big", format="stream"))
    assert got == size
    headers = {"E2b-Sandbox-Id": sandbox.sandbox_id, "X-Access-Token": str(sandbox._envd_access_token)}
    with tempfile.TemporaryFile() as form:
        form.write(piece * 20)
        form.seek(0)
        answer = httpx.post(
            f"{daemon.url}/files?path=/home/user/form", headers=headers, files={"file": form}, timeout=60
        )
    assert answer.status_code == 200
    assert sandbox.files.get_info("/home/user/form").size == 20 << 20
    assert resident_kb(daemon) - before < 16 << 10
    sandbox.commands.run("rm /home/user/big /home/user/form")


def test_an_upload_that_breaks_off_leaves_what_was_there(daemon: Daemon, sandbox: Sandbox) -> None:
    sandbox.files.write("/home/user/whole", "before")
    with socket.create_connection(("127.0.0.1", daemon.port)) as client:
        head = "POST /files?path=/home/user/whole HTTP/1.1\r\nHost: x\r\n"
        head += f"E2b-Sandbox-Id: {sandbox.sandbox_id}\r\n"
        head += f"X-Access-Token: {sandbox._envd_access_token}\r\nContent-Length: 1000\r\n\r\n"
        client.sendall(head.encode() + b"half")
    time.sleep(0.5)
    assert sandbox.files.read("/home/user/whole") == "before"
    assert [one.name for one in sandbox.files.list("/home/user") if one.name.endswith(".new")] == []


def test_packed_and_described_files_arrive(sandbox: Sandbox) -> None:
    sandbox.files.write("/home/user/packed", "text " * 50_000, gzip=True, metadata={"Who": "ann"})
    assert sandbox.files.read("/home/user/packed", gzip=True) == "text " * 50_000
    info = sandbox.files.get_info("/home/user/packed")
    assert (info.size, info.metadata) == (250_000, {"who": "ann"})


def test_a_signed_address_is_good_for_one_file_one_way_and_for_its_time(
    daemon: Daemon, sandbox: Sandbox
) -> None:
    sandbox.files.write("/home/user/signed", "content")
    url = sandbox.download_url("/home/user/signed", use_signature_expiration=60)
    assert httpx.get(url).text == "content"
    assert httpx.get(url.replace("signed", "other")).status_code == 401
    assert httpx.post(url, content=b"x").status_code == 401
    assert httpx.get(url.replace("signature_expiration=", "signature_expiration=9")).status_code == 401
    late = sandbox.download_url("/home/user/signed", use_signature_expiration=-5)
    assert httpx.get(late).status_code == 401
    up = sandbox.upload_url("/root/uploaded", user="root")
    assert httpx.post(up, files={"file": ("name", b"up")}).status_code == 200
    assert sandbox.files.get_info("/root/uploaded", user="root").owner == "root"


def test_files_of_root_are_roots(sandbox: Sandbox) -> None:
    sandbox.files.write("/root/secret", "x", user="root")
    assert sandbox.files.get_info("/root/secret", user="root").owner == "root"
    with pytest.raises(SandboxException):
        sandbox.files.write("/usr/x", "x")
    sandbox.files.write("/usr/local/x", "x", user="root")
    assert sandbox.files.read("/usr/local/x") == "x"


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
