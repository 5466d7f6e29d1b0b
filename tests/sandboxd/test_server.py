import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from e2b import CommandExitException, Sandbox, TimeoutException
from e2b.exceptions import NotFoundException, SandboxException
from tests.sandboxd.conftest import DOMAIN, KEY, Daemon

pytestmark = pytest.mark.engine


FILL = """
import os, time
while True:
    try:
        if not os.fork():
            time.sleep(600)
    except OSError:
        time.sleep(0.001)
"""


def port_headers(box: Sandbox, port: int, token: str | None = None) -> dict[str, str]:
    headers = {"E2b-Sandbox-Id": box.sandbox_id, "E2b-Sandbox-Port": str(port)}
    return headers | ({"e2b-traffic-access-token": token} if token else {})


def test_a_sandbox_runs_as_a_user_without_rights(sandbox: Sandbox) -> None:
    told = sandbox.commands.run("id -u; grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status").stdout
    assert told.splitlines()[0] == "1000"
    values = dict(line.split(":\t") for line in told.splitlines()[1:])
    assert int(values["CapEff"], 16) == 0
    assert int(values["CapBnd"], 16) == 0
    assert (values["NoNewPrivs"], values["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize(
    "attack",
    [
        "unshare --user true",
        "mount -t tmpfs none /mnt",
        "python3 -c 'import socket; socket.socket(40, 1, 0)'",
        "python3 -c 'import socket; socket.socket(17, 3, 0)'",
        "curl -sf -m 3 http://169.254.169.254/",
        "curl -sf --noproxy '*' -m 3 https://pypi.org/",
        "cat /proc/kcore",
        "echo 1 > /proc/sys/kernel/panic",
        "touch /usr/bin/evil",
        "dd if=/dev/zero of=/home/user/big bs=1M count=200",
    ],
)
def test_what_would_lead_out_is_refused(sandbox: Sandbox, attack: str) -> None:
    with pytest.raises(CommandExitException):
        sandbox.commands.run(attack)
    sandbox.commands.run("rm -f /home/user/big")


def test_roots_rights_inside_are_none_either(sandbox: Sandbox) -> None:
    with pytest.raises(CommandExitException):
        sandbox.commands.run("mount -t tmpfs none /mnt", user="root")
    with pytest.raises(CommandExitException):
        sandbox.commands.run("cat /etc/shadow > /dev/null && chown 5 /etc/hostname", user="root")


def test_a_fork_bomb_stops_at_the_limit_and_the_sandbox_lives(daemon: Daemon) -> None:
    box = daemon.create()
    with pytest.raises(TimeoutException):
        box.commands.run("bomb() { bomb | bomb & bomb; }; bomb", timeout=2)
    # the client's own clock may tell it of the time-out before the last of the bomb is gone
    assert once_there_is_room(box, "echo alive") == "alive\n"
    box.kill()


def once_there_is_room(box: Sandbox, command: str) -> str:
    for _ in range(200):
        try:
            return str(box.commands.run(command).stdout)
        except SandboxException as error:
            said = str(error)
        time.sleep(0.1)
    raise AssertionError(said)


def test_at_the_limit_a_start_says_so_and_a_kill_still_works(daemon: Daemon) -> None:
    box = daemon.create()
    handle = box.commands.run(f"exec python3 -c '{FILL}'", background=True)
    deadline = time.monotonic() + 20
    message = ""
    while "limit of processes" not in message:
        assert time.monotonic() < deadline
        try:
            box.commands.run("true")
        except SandboxException as error:
            message = str(error)
    assert "SHMASTRA_SANDBOX_PIDS" in message
    assert box.commands.kill(handle.pid)
    assert box.commands.run("echo alive").stdout == "alive\n"
    box.kill()


def test_memory_stops_at_the_limit(sandbox: Sandbox) -> None:
    with pytest.raises(CommandExitException):
        sandbox.commands.run("python3 -c 'x = bytearray(400 << 20)'")
    assert sandbox.commands.run("echo alive").stdout == "alive\n"


def test_two_sandboxes_see_nothing_of_each_other(daemon: Daemon, sandbox: Sandbox) -> None:
    other = daemon.create()
    other.files.write("/home/user/secret", "theirs")
    other.commands.run("sleep 345", background=True)
    assert "345" not in sandbox.commands.run("ps -ef").stdout
    assert not sandbox.files.exists("/home/user/secret")
    mixed = {"E2b-Sandbox-Id": sandbox.sandbox_id, "X-Access-Token": str(other._envd_access_token)}
    answer = httpx.get(f"{daemon.url}/files?path=/etc/hostname", headers=mixed)
    assert answer.status_code == 401
    owners = {
        subprocess.run(["stat", "-c", "%u", f"/proc/{pid}"], capture_output=True, text=True).stdout
        for pid in (
            (daemon.data / "sandboxes" / box.sandbox_id / "pid").read_text() for box in (sandbox, other)
        )
    }
    assert len(owners) == 2
    other.kill()


def test_a_port_needs_the_traffic_token(daemon: Daemon) -> None:
    box = daemon.create(network={"allow_public_traffic": False})
    serve = "cd /tmp && echo hello > index.html && exec python3 -m http.server 4111 --bind 127.0.0.1"
    box.commands.run(serve, background=True)
    token = box.traffic_access_token
    assert token
    url = f"{daemon.url}/index.html"
    deadline = time.monotonic() + 20
    while (answer := httpx.get(url, headers=port_headers(box, 4111, token))).status_code != 200:
        assert "port is not open" in answer.text
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert answer.text == "hello\n"
    assert httpx.get(url, headers=port_headers(box, 4111)).status_code == 403
    assert httpx.get(url, headers=port_headers(box, 4111, "wrong")).status_code == 403
    assert httpx.get(url, headers=port_headers(box, 99999, token)).status_code == 400
    box.pause()
    frozen = httpx.get(url, headers=port_headers(box, 4111, token))
    assert (frozen.status_code, "was not found" in frozen.text) == (502, True)
    Sandbox.connect(box.sandbox_id, timeout=600, **daemon.options)
    assert httpx.get(url, headers=port_headers(box, 4111, token)).text == "hello\n"
    box.kill()


def test_the_host_alone_says_where_a_request_goes(daemon: Daemon) -> None:
    box = daemon.create(network={"allow_public_traffic": False})
    assert box.get_host(4111) == f"4111-{box.sandbox_id}.{DOMAIN}"
    envd = {"Host": box.get_host(49983), "X-Access-Token": str(box._envd_access_token)}
    assert httpx.get(f"{daemon.url}/files?path=/etc/passwd", headers=envd).status_code == 200
    assert httpx.get(f"{daemon.url}/health", headers={"Host": box.get_host(49983)}).status_code == 204
    box.commands.run("echo hi > ~/x; exec python3 -m http.server 4111", background=True)
    traffic = {"e2b-traffic-access-token": str(box.traffic_access_token), "Host": box.get_host(4111)}
    deadline = time.monotonic() + 20
    while (answer := httpx.get(f"{daemon.url}/x", headers=traffic)).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)
    assert answer.text == "hi\n"
    control = {"Host": f"api.{DOMAIN}", "X-API-KEY": KEY}
    assert box.sandbox_id in httpx.get(f"{daemon.url}/v2/sandboxes", headers=control).text
    box.kill()


def test_the_gateways_socket_is_reached_at_4000(daemon: Daemon, sandbox: Sandbox) -> None:
    daemon.gateway.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(daemon.gateway))
        listener.listen()

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.0 200 OK\r\n\r\nthe cloud")

        thread = threading.Thread(target=answer)
        thread.start()
        assert sandbox.commands.run("curl -s http://127.0.0.1:4000/x").stdout == "the cloud"
        thread.join(10)


def test_a_host_that_is_not_listed_is_refused_with_the_setting(sandbox: Sandbox) -> None:
    with pytest.raises(CommandExitException) as caught:
        sandbox.commands.run("curl -s -m 5 https://example.com/ -w '%{http_connect}'")
    assert "403" in caught.value.stdout


def test_files_and_processes_outlive_a_kill_of_the_daemon(daemon: Daemon) -> None:
    box = daemon.create()
    box.files.write("/home/user/kept", "still here")
    box.commands.run("sleep 678", background=True)
    daemon.end(signal.SIGKILL)
    daemon.start()
    again = Sandbox.connect(box.sandbox_id, timeout=600, **daemon.options)
    assert again.files.read("/home/user/kept") == "still here"
    assert "678" in again.commands.run("ps -ef").stdout
    again.kill()


def test_who_follows_a_program_does_not_hold_up_the_daemons_end(daemon: Daemon) -> None:
    box = daemon.create()
    handle = box.commands.run("sleep 600", background=True)
    watch = box.files.watch_dir("/home/user")
    before, begun = len((daemon.data / "log").read_text()), time.monotonic()
    daemon.end()
    assert time.monotonic() - begun < 3
    assert "Traceback" not in (daemon.data / "log").read_text()[before:]
    with pytest.raises(SandboxException):
        handle.wait()
    daemon.start()
    with pytest.raises(NotFoundException):
        watch.get_new_events()
    assert "sleep 600" in box.commands.run("ps -eo args").stdout
    box.kill()


def test_a_container_that_is_gone_starts_again_on_its_files(daemon: Daemon) -> None:
    box = daemon.create()
    box.files.write("/home/user/kept", "still here")
    daemon.end()
    runc = ["runc", "--root", str(daemon.data / "runc"), "delete", "--force", box.sandbox_id]
    subprocess.run(runc, check=True)
    daemon.start()
    again = Sandbox.connect(box.sandbox_id, timeout=600, **daemon.options)
    assert again.files.read("/home/user/kept") == "still here"
    again.kill()


def test_a_wrong_key_and_rubbish_are_refused(daemon: Daemon) -> None:
    url = f"{daemon.url}/v2/sandboxes"
    assert httpx.get(url, headers={"X-API-KEY": "wrong"}).status_code == 401
    headers = {"X-API-KEY": KEY}
    assert httpx.post(url, headers=headers, content=b"{").status_code == 400
    assert httpx.post(url, headers=headers, json={"templateID": "../base"}).status_code == 400
    assert httpx.post(url, headers=headers, json={"templateID": "base", "timeout": -1}).status_code == 400
    missing = httpx.post(url, headers=headers, json={"templateID": "none"})
    assert (missing.status_code, "shmastra template build" in missing.text) == (404, True)
    with pytest.raises(NotFoundException):
        Sandbox.connect("inone", **daemon.options)


def test_the_command_line_names_what_is_wrong() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sandboxd", "serve", "--listen", "nonsense"], capture_output=True, text=True
    )
    assert done.returncode == 2
