"""Attacks on the daemon's hands: what it does with files of a sandbox whose owner is hostile."""

import contextlib
import os
import secrets
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2b import Sandbox
from e2b.exceptions import SandboxException
from tests.sandboxd.conftest import Daemon

pytestmark = pytest.mark.engine

SECONDS = 4
SWAP = """
import os, itertools
os.makedirs("/home/user/real/sub", exist_ok=True)
os.chdir("/home/user")
for target in itertools.cycle(%r):
    try:
        os.symlink(target, "next"); os.rename("next", "way")
        os.unlink("way"); os.rename("real", "way"); os.rename("way", "real")
    except OSError:
        for name in ("next", "way"):
            try: os.unlink(name)
            except OSError: pass
"""


@pytest.fixture
def canary() -> Iterator[Path]:
    """A folder of the host with a secret, at a path that a sandbox can name."""
    folder = Path(f"/etc/shmastra-canary-{secrets.token_hex(4)}")
    (folder / "sub").mkdir(parents=True)
    (folder / "secret").write_text("canary of the host")
    folder.chmod(0o777)
    (folder / "sub").chmod(0o777)
    (folder / "secret").chmod(0o666)
    yield folder
    assert (folder / "secret").read_text() == "canary of the host"
    assert sorted(one.name for one in folder.iterdir()) == ["secret", "sub"]
    assert list((folder / "sub").iterdir()) == []
    subprocess.run(["rm", "-r", str(folder)], check=True)


def under_attack(sandbox: Sandbox, canary: Path, act: Callable[[int], object]) -> list[object]:
    """Do something again and again while a component of its path is swapped; return what it gave."""
    targets = [str(canary), f"/proc/1/root{canary}", f"/dev/../{canary}", "/etc", "/proc/self/root/etc"]
    sandbox.files.write("/home/user/swap.py", SWAP % targets)
    swapping = sandbox.commands.run("exec python3 swap.py", background=True, timeout=0)
    given: list[object] = []
    end, number = time.monotonic() + SECONDS, 0
    try:
        while time.monotonic() < end:
            number += 1
            with contextlib.suppress(SandboxException):
                given.append(act(number))
    finally:
        sandbox.commands.kill(swapping.pid)
        sandbox.commands.run("rm -rf way next real swap.py")
    assert number > 50
    return given


def test_reading_through_a_swapped_component_reads_nothing_of_the_host(
    sandbox: Sandbox, canary: Path
) -> None:
    assert "canary of the host" not in under_attack(
        sandbox, canary, lambda _: sandbox.files.read("/home/user/way/secret")
    )


def test_writing_through_a_swapped_component_writes_nothing_to_the_host(
    sandbox: Sandbox, canary: Path
) -> None:
    under_attack(sandbox, canary, lambda n: sandbox.files.write(f"/home/user/way/sub/f{n}", "evil"))


def test_writing_over_a_swapped_file_changes_nothing_of_the_host(sandbox: Sandbox, canary: Path) -> None:
    under_attack(sandbox, canary, lambda _: sandbox.files.write("/home/user/way/secret", "evil"))


def test_listing_a_swapped_folder_shows_nothing_of_the_host(sandbox: Sandbox, canary: Path) -> None:
    seen = under_attack(
        sandbox, canary, lambda _: [one.name for one in sandbox.files.list("/home/user/way", depth=2)]
    )
    assert not any("secret" in str(names) for names in seen)


def test_removing_through_a_swapped_component_removes_nothing_of_the_host(
    sandbox: Sandbox, canary: Path
) -> None:
    under_attack(sandbox, canary, lambda _: sandbox.files.remove("/home/user/way"))
    under_attack(sandbox, canary, lambda _: sandbox.files.remove("/home/user/way/sub"))


def test_moving_through_a_swapped_component_moves_nothing_of_the_host(sandbox: Sandbox, canary: Path) -> None:
    under_attack(sandbox, canary, lambda n: sandbox.files.rename("/home/user/way/secret", f"/tmp/got{n}"))
    assert "got" not in sandbox.commands.run("ls /tmp").stdout
    sandbox.files.write("/home/user/mine", "x")
    under_attack(sandbox, canary, lambda n: sandbox.files.rename("/home/user/mine", f"/home/user/way/{n}"))


@pytest.mark.parametrize("name", ["tmp", "run", "dev", "proc", "sys"])
def test_a_mount_target_replaced_by_a_link_keeps_the_sandbox_from_starting(daemon: Daemon, name: str) -> None:
    box = daemon.create()
    daemon.end()
    folder = daemon.data / "sandboxes" / box.sandbox_id
    subprocess.run(
        ["runc", "--root", str(daemon.data / "runc"), "delete", "--force", box.sandbox_id], check=True
    )
    (folder / "disk" / "upper" / name).symlink_to("/etc")
    daemon.start()
    with pytest.raises(SandboxException, match=f"/{name} of sandbox.*make it anew"):
        Sandbox.connect(box.sandbox_id, **daemon.options)
    assert box.get_info().state.value == "paused"
    assert str(folder) not in Path("/proc/self/mounts").read_text()
    assert box.kill()


def resident_kb(daemon: Daemon) -> int:
    assert daemon.process is not None
    return int(Path(f"/proc/{daemon.process.pid}/status").read_text().split("VmHWM:")[1].split()[0])


def test_fifos_devices_and_folders_are_not_read_nor_waited_for(daemon: Daemon, sandbox: Sandbox) -> None:
    sandbox.commands.run(
        "mkfifo ~/fifo; python3 -c 'import socket; socket.socket(1).bind(\"/home/user/sock\")'"
    )
    before, begun = resident_kb(daemon), time.monotonic()
    for path in ("/home/user/fifo", "/home/user/sock", "/dev/zero", "/dev/tty", "/proc/self/fd/0", "/home"):
        with pytest.raises(SandboxException):
            sandbox.files.read(path, request_timeout=20)
        with pytest.raises(SandboxException):
            sandbox.files.write(path, "x", request_timeout=20)
    assert time.monotonic() - begun < 20
    assert resident_kb(daemon) - before < 8 << 10


def test_a_huge_sparse_file_costs_the_daemon_nothing(daemon: Daemon, sandbox: Sandbox) -> None:
    sandbox.commands.run("truncate -s 1T ~/sparse")
    before = resident_kb(daemon)
    reader = sandbox.files.read("/home/user/sparse", format="stream")
    assert sum(len(piece) for _, piece in zip(range(200), reader, strict=False)) > 0
    reader.close()
    assert resident_kb(daemon) - before < 8 << 10
    sandbox.commands.run("rm ~/sparse")
    assert sandbox.files.read("/etc/hostname") is not None


@pytest.mark.parametrize(
    "name", ["new\nline", "ünïcödé-☃", "n" * 255, "..name", " ", "-rf", "a'b\"c", "%2e%2e", "\t", "$(id)"]
)
def test_strange_names_are_names_only(sandbox: Sandbox, name: str) -> None:
    path = f"/home/user/strange/{name}"
    sandbox.files.write_files([{"path": path, "data": "x"}])
    assert sandbox.files.read(path) == "x"
    assert [one.name for one in sandbox.files.list("/home/user/strange")] == [name]
    sandbox.files.remove(path)
    assert sandbox.files.list("/home/user/strange") == []


@pytest.mark.parametrize(
    "path", ["n" * 256, "a/" * 3000, "x\0y", "../../../../etc/evil", "/home/user/../../etc/evil"]
)
def test_paths_that_cannot_be_are_refused(sandbox: Sandbox, path: str) -> None:
    with pytest.raises(SandboxException):
        sandbox.files.write(path, "x")


def test_a_folder_of_100_000_files_is_refused_quickly(daemon: Daemon, sandbox: Sandbox) -> None:
    make = "import os\nos.mkdir('many')\nfor n in range(100000): os.close(os.open(f'many/{n}', os.O_CREAT))"
    # no more inodes than the small disk has
    sandbox.commands.run(f'cd /dev/shm && python3 -c "{make}"', timeout=120)
    before, begun = resident_kb(daemon), time.monotonic()
    with pytest.raises(SandboxException, match="more than 10000 files"):
        sandbox.files.list("/dev/shm/many")
    assert time.monotonic() - begun < 30
    assert resident_kb(daemon) - before < 64 << 10
    sandbox.commands.run("rm -r /dev/shm/many", timeout=120)


def test_a_flood_of_output_is_held_back(daemon: Daemon, sandbox: Sandbox) -> None:
    before = resident_kb(daemon)
    flood = sandbox.commands.run("yes | tee /dev/shm/copy", background=True, timeout=0)
    time.sleep(3)
    sizes = []
    for _ in range(2):
        sizes.append(int(sandbox.commands.run("stat -c %s /dev/shm/copy; true", timeout=20).stdout or 0))
        time.sleep(0.5)
    assert sizes[0] == sizes[1], "it goes on writing though nobody reads"
    assert resident_kb(daemon) - before < 24 << 10
    assert sandbox.commands.kill(flood.pid)
    sandbox.commands.run("rm /dev/shm/copy")


def test_a_program_that_ignores_its_end_is_killed(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("trap '' TERM INT HUP QUIT; while :; do sleep 0.1; done", background=True)
    begun = time.monotonic()
    assert sandbox.commands.kill(handle.pid)
    assert time.monotonic() - begun < 10
    assert handle.pid not in [one.pid for one in sandbox.commands.list()]


def test_the_disk_and_the_memory_file_systems_are_bounded(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxException, match="disk is full"):
        sandbox.files.write("/home/user/big", b"x" * (200 << 20))
    assert not sandbox.files.exists("/home/user/big")
    told = sandbox.commands.run(
        "dd if=/dev/zero of=/dev/shm/big bs=1M count=100 2>&1; rm /dev/shm/big"
    ).stdout
    assert "No space left" in told
    sizes = sandbox.commands.run("df -m --output=size /tmp /dev/shm /run | tail -n +2").stdout.split()
    assert [int(size) for size in sizes] == [512, 64, 8]


def test_a_set_uid_program_gives_no_right(sandbox: Sandbox) -> None:
    sandbox.commands.run("cp /usr/bin/id ~/id && chmod u+s ~/id")
    assert sandbox.commands.run("~/id -u", user="user").stdout == "1000\n"
    assert "nosuid" in sandbox.commands.run("grep ' / ' /proc/mounts").stdout
    mode = Path("/usr/bin/id").stat().st_mode
    assert not mode & stat.S_ISUID
    assert os.geteuid() == 0
