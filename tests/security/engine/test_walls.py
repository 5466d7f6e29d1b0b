"""Attacks on the walls: what a process in a sandbox can see, reach and keep."""

import contextlib
import os
import secrets
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from e2b import CommandExitException, Sandbox
from e2b.exceptions import SandboxException
from tests.sandboxd.conftest import KEY, Daemon

pytestmark = pytest.mark.engine


def fails(sandbox: Sandbox, command: str, user: str = "user") -> bool:
    try:
        sandbox.commands.run(command, user=user, timeout=20)  # type: ignore[arg-type]
    except CommandExitException:
        return True
    return False


def first_uid(daemon: Daemon, box: Sandbox) -> int:
    pid = (daemon.data / "sandboxes" / box.sandbox_id / "pid").read_text()
    return int(Path(f"/proc/{pid}/uid_map").read_text().split()[1])


def test_the_hosts_loopback_is_not_reached(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert fails(sandbox, f"curl -sf --noproxy '*' -m 3 http://127.0.0.1:{port}/")


def test_the_hosts_abstract_sockets_are_not_reached(sandbox: Sandbox) -> None:
    name = f"shmastra-{secrets.token_hex(4)}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        code = f"import socket; socket.socket(1).connect(chr(0) + '{name}')"
        assert fails(sandbox, f'python3 -c "{code}"')


@pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.1", "192.168.0.1", "8.8.8.8", "[fe80::1]"])
def test_no_address_outside_is_reached_directly(sandbox: Sandbox, address: str) -> None:
    assert fails(sandbox, f"curl -sf --noproxy '*' -m 3 http://{address}/")


def test_another_sandboxs_ports_and_sockets_are_not_reached(daemon: Daemon, sandbox: Sandbox) -> None:
    other = daemon.create()
    other.commands.run("exec python3 -m http.server 8123", background=True)
    code = "import socket,time; s=socket.socket(1); s.bind(chr(0)+'theirs'); s.listen(); time.sleep(600)"
    other.commands.run(f'exec python3 -c "{code}"', background=True)
    deadline = time.monotonic() + 20
    while fails(other, "curl -sf -m 3 http://127.0.0.1:8123/"):
        assert time.monotonic() < deadline
    assert fails(sandbox, "curl -sf -m 3 http://127.0.0.1:8123/")
    assert fails(sandbox, "python3 -c \"import socket; socket.socket(1).connect(chr(0)+'theirs')\"")
    other.kill()


def test_processes_of_others_are_not_seen(sandbox: Sandbox) -> None:
    seen = sandbox.commands.run("ls -d /proc/[0-9]* | wc -l", user="root").stdout
    assert int(seen) < 30
    assert "sandboxd" not in sandbox.commands.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout


def test_the_daemons_environment_and_files_are_not_seen(daemon: Daemon, sandbox: Sandbox) -> None:
    told = sandbox.commands.run(
        "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; env", user="root"
    ).stdout
    assert "SANDBOXD" not in told
    assert KEY not in told
    links = sandbox.commands.run("ls -l /proc/[0-9]*/fd 2>/dev/null; true", user="root").stdout
    assert str(daemon.data) not in links
    # what leads to the host is pipes, sockets, terminals of its own and /dev/null
    targets = {line.split(" -> ")[1].split(":")[0] for line in links.splitlines() if " -> " in line}
    allowed = {"pipe", "socket", "/dev/null", "anon_inode", "/dev/pts/ptmx"}
    assert all(target in allowed or target.startswith("/proc/") for target in targets), targets


def test_nothing_of_a_cgroup_can_be_written(sandbox: Sandbox) -> None:
    assert sandbox.commands.run("ls -A /sys", user="root").stdout == ""
    for attack in (
        "mkdir /tmp/c && mount -t cgroup -o pids none /tmp/c",
        "mkdir /tmp/d && mount -t cgroup2 none /tmp/d",
        "unshare -C true",
        "echo 0 > /proc/1/oom_score_adj",
        "echo core > /proc/sys/kernel/core_pattern",
        "echo c > /proc/sysrq-trigger",
    ):
        assert fails(sandbox, attack, "root"), attack


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (310, "process_vm_readv"),
        (311, "process_vm_writev"),
        (101, "ptrace"),
        (438, "pidfd_getfd"),
        (425, "io_uring_setup"),
        (321, "bpf"),
        (323, "userfaultfd"),
        (250, "keyctl"),
        (298, "perf_event_open"),
        (165, "mount"),
        (428, "open_tree"),
        (272, "unshare"),
        (308, "setns"),
        (304, "open_by_handle_at"),
        (175, "init_module"),
    ],
)
def test_system_calls_that_reach_others_are_refused(sandbox: Sandbox, number: int, name: str) -> None:
    code = f"import ctypes; l=ctypes.CDLL(None, use_errno=True); l.syscall({number},0,0,0,0,0); "
    code += "print(ctypes.get_errno())"
    for user in ("user", "root"):
        assert sandbox.commands.run(f"python3 -c '{code}'", user=user).stdout == "1\n", name  # type: ignore[arg-type]


def test_one_sandboxs_id_with_anothers_token_is_refused(daemon: Daemon, sandbox: Sandbox) -> None:
    other = daemon.create(network={"allow_public_traffic": False})
    ours = {"X-Access-Token": str(sandbox._envd_access_token)}
    for headers in (
        {"E2b-Sandbox-Id": other.sandbox_id},
        {"Host": f"49983-{other.sandbox_id}.example.com"},
    ):
        answer = httpx.get(f"{daemon.url}/files?path=/etc/hostname", headers=headers | ours)
        assert answer.status_code == 401
        answer = httpx.post(f"{daemon.url}/process.Process/List", headers=headers | ours, json={})
        assert answer.status_code == 401
    for token in ("", "wrong", str(other._envd_access_token), str(sandbox.traffic_access_token)):
        headers = {"E2b-Sandbox-Id": other.sandbox_id, "E2b-Sandbox-Port": "4111"}
        answer = httpx.get(daemon.url, headers=headers | {"e2b-traffic-access-token": token})
        assert answer.status_code == 403
        answer = httpx.get(daemon.url, headers={"Host": f"4111-{other.sandbox_id}.example.com"})
        assert answer.status_code == 403
    other.kill()


def test_two_sandboxes_never_share_a_uid_not_even_one_after_another(daemon: Daemon) -> None:
    boxes = [daemon.create() for _ in range(3)]
    firsts = [first_uid(daemon, box) for box in boxes]
    assert all(abs(one - two) >= 65536 for one in firsts for two in firsts if one is not two)
    leftover = daemon.data / "sandboxes" / boxes[1].sandbox_id
    boxes[1].files.write("/home/user/secret", "theirs")
    boxes[1].kill()
    assert not leftover.exists()
    again = daemon.create()
    assert first_uid(daemon, again) not in {firsts[0], firsts[2]}
    assert not again.files.exists("/home/user/secret")
    for box in (boxes[0], boxes[2], again):
        box.kill()


def test_a_sandbox_outlives_its_template(daemon: Daemon) -> None:
    """What runs goes on; what is paused goes on; a new one is refused by name."""
    templates = daemon.data / "templates"
    there = templates.resolve()
    daemon.end()
    templates.unlink()
    templates.mkdir()
    for name in ("base", "gone"):
        subprocess.run(["cp", "-a", "--reflink=auto", str(there / "base"), str(templates / name)], check=True)
    daemon.start()
    try:
        box = Sandbox.create("gone", timeout=600, **daemon.options)
        subprocess.run(["rm", "-rf", "--one-file-system", str(templates / "gone")], check=True)
        with pytest.raises(SandboxException, match="gone was not found"):
            Sandbox.create("gone", timeout=600, **daemon.options)
        with contextlib.suppress(SandboxException):
            box.commands.run("true")
        daemon.end()
        subprocess.run(["runc", "--root", str(daemon.data / "runc"), "delete", "--force", box.sandbox_id])
        daemon.start()
        with pytest.raises(SandboxException, match="template"):
            Sandbox.connect(box.sandbox_id, **daemon.options)
        assert box.kill()
    finally:
        daemon.end()
        subprocess.run(["rm", "-rf", "--one-file-system", str(templates)], check=True)
        templates.symlink_to(there)
        daemon.start()


def test_a_frozen_sandbox_accepts_nothing_and_holds_nothing(daemon: Daemon) -> None:
    box = daemon.create()
    before = len((daemon.data / "log").read_text())
    daemon.gateway.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as gateway:
        gateway.bind(str(daemon.gateway))
        gateway.listen()
        gateway.settimeout(20)
        box.commands.run("exec python3 -m http.server 4111 --bind 127.0.0.1", background=True)
        code = "import socket; s=socket.create_connection(('127.0.0.1',4000)); s.send(b'x'); s.recv(1)"
        box.commands.run(f'exec python3 -c "{code}"', background=True)
        held, _ = gateway.accept()
        with held:
            held.settimeout(20)
            assert held.recv(1) == b"x"
            box.pause()
            assert held.recv(1) == b"", "its way out is still open"
        begun = time.monotonic()
        headers = {"E2b-Sandbox-Id": box.sandbox_id, "E2b-Sandbox-Port": "4111"}
        for path in ("/", "/health"):
            answer = httpx.get(daemon.url + path, headers=headers, timeout=10)
            assert (answer.status_code, "was not found" in answer.text) == (502, True)
        with pytest.raises(SandboxException):
            box.commands.run("true", request_timeout=10)
        assert time.monotonic() - begun < 10
        assert daemon.process is not None
        again = Sandbox.connect(box.sandbox_id, **daemon.options)
        assert again.commands.run("echo back").stdout == "back\n"
    log = (daemon.data / "log").read_text()[before:]
    assert "Traceback" not in log, log
    box.kill()
    assert os.geteuid() == 0
