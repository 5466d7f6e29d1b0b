"""What a daemon leaves when it dies at any moment, and what the next one makes of it."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from e2b import Sandbox
from e2b.exceptions import NotFoundException, SandboxException
from tests.sandboxd.conftest import KEY, Daemon, running_daemon

pytestmark = pytest.mark.engine

SHIM = """#!/bin/sh
die() {{ [ -e {folder}/$1-{name} ] && rm {folder}/$1-{name} && kill -9 $PPID; }}
die before
{real} "$@"; status=$?
die after
exit $status
"""


@pytest.fixture(scope="module")
def shims() -> Iterator[Path]:
    """Programs that the daemon starts, which kill it before or after they do their work."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for program in ("cp", "mount", "umount"):
            real = subprocess.run(
                ["which", program], capture_output=True, text=True, check=True
            ).stdout.strip()
            (folder / program).write_text(SHIM.format(folder=folder, name=program, real=real))
            (folder / program).chmod(0o755)
        yield folder


@pytest.fixture(scope="module")
def mortal(shims: Path) -> Iterator[Daemon]:
    with running_daemon(f"{shims}:{os.environ['PATH']}") as engine:
        yield engine


def known(daemon: Daemon) -> set[str]:
    found = Sandbox.list(api_key=KEY, api_url=daemon.url)
    return {one.sandbox_id for one in found.next_items()}


def rubbish(daemon: Daemon) -> list[str]:
    """What is there of sandboxes that are not known."""
    sandboxes, ids = daemon.data / "sandboxes", known(daemon)
    runc = ["runc", "--root", str(daemon.data / "runc"), "list", "--format", "json"]
    listed = json.loads(subprocess.run(runc, capture_output=True, text=True).stdout or "null") or []
    loops = subprocess.run(
        ["losetup", "--list", "-n", "-O", "BACK-FILE"], capture_output=True, text=True
    ).stdout
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    found = [one.name for one in sandboxes.iterdir()]
    found += [one["id"] for one in listed]
    found += [Path(one).relative_to(sandboxes).parts[0] for one in mounts if one.startswith(f"{sandboxes}/")]
    found += [Path(one).parts[-2] for one in loops.splitlines() if one.startswith(str(sandboxes))]
    return [one for one in found if one not in ids]


@pytest.mark.parametrize(
    "moment", ["before-cp", "after-cp", "before-mount", "after-mount", "second-mount", "after-second-mount"]
)
def test_a_create_that_was_cut_off_leaves_nothing(mortal: Daemon, shims: Path, moment: str) -> None:
    mortal.create().kill()
    outcome: list[object] = []

    def create() -> None:
        with contextlib.suppress(Exception):
            outcome.append(mortal.create(idempotency_key=f"cut-{moment}"))

    kind, program = ("before", "mount") if moment == "second-mount" else moment.split("-")[:2]
    if moment == "after-second-mount":
        kind, program = "after", "mount"
    if "second" not in moment:
        (shims / f"{kind}-{program}").touch()
    thread = threading.Thread(target=create)
    thread.start()
    if "second" in moment:
        before = Path("/proc/self/mounts").read_text().count(str(mortal.data))
        while Path("/proc/self/mounts").read_text().count(str(mortal.data)) == before:
            time.sleep(0.0005)
        (shims / f"{kind}-{program}").touch()
    assert mortal.process is not None
    deadline = time.monotonic() + 10
    while mortal.process.poll() is None and time.monotonic() < deadline and not outcome:
        time.sleep(0.005)
    (shims / f"{kind}-{program}").unlink(missing_ok=True)
    if mortal.process.poll() is None:
        mortal.end(signal.SIGKILL)
    thread.join(60)
    mortal.start()
    assert rubbish(mortal) == []
    again = mortal.create(idempotency_key=f"cut-{moment}")
    assert again.commands.run("echo whole").stdout == "whole\n"
    again.kill()
    assert rubbish(mortal) == []


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.02, 0.035, 0.05, 0.07, 0.1, 0.15])
def test_a_create_killed_after_some_time_is_there_whole_or_not_at_all(mortal: Daemon, delay: float) -> None:
    key = f"timed-{int(delay * 1000)}"

    def create() -> None:
        with contextlib.suppress(Exception):
            mortal.create(idempotency_key=key)

    thread = threading.Thread(target=create)
    thread.start()
    time.sleep(delay)
    mortal.end(signal.SIGKILL)
    thread.join(60)
    mortal.start()
    assert rubbish(mortal) == []
    for box in [mortal.create(idempotency_key=key), mortal.create(idempotency_key=key)]:
        assert box.commands.run("echo whole").stdout == "whole\n"
    assert len(known(mortal)) == 1
    box.kill()
    assert rubbish(mortal) == []


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.005, 0.01, 0.03])
@pytest.mark.parametrize("act", ["pause", "resume", "kill"])
def test_what_was_being_done_when_the_daemon_died_is_done_or_not(
    mortal: Daemon, act: str, delay: float
) -> None:
    box = mortal.create()
    box.files.write("/home/user/kept", "kept")
    if act == "resume":
        box.pause()

    def do() -> None:
        with contextlib.suppress(Exception):
            if act == "resume":
                Sandbox.connect(box.sandbox_id, **mortal.options)
            else:
                getattr(box, act)()

    thread = threading.Thread(target=do)
    thread.start()
    time.sleep(delay)
    mortal.end(signal.SIGKILL)
    thread.join(60)
    mortal.start()
    assert rubbish(mortal) == []
    if box.sandbox_id in known(mortal):
        state = box.get_info().state.value
        frozen = frozen_group(box.sandbox_id)
        assert frozen == (state == "paused"), state
        again = Sandbox.connect(box.sandbox_id, **mortal.options)
        assert again.files.read("/home/user/kept") == "kept"
        again.kill()
    else:
        assert act == "kill"
    assert rubbish(mortal) == []


@pytest.mark.parametrize(("moment", "paused"), [("before-cp", False), ("after-cp", True)])
def test_a_disk_that_was_being_copied_when_the_daemon_died_takes_writes_again(
    mortal: Daemon, shims: Path, moment: str, paused: bool
) -> None:
    box = mortal.create()
    box.files.write("/home/user/kept", "kept")
    if paused:
        box.pause()
    (shims / moment).touch()
    with contextlib.suppress(httpx.HTTPError):
        copy(mortal, box)
    assert mortal.process is not None
    mortal.process.wait(20)
    mortal.start()
    again = Sandbox.connect(box.sandbox_id, **mortal.options)
    again.files.write("/home/user/after", "written")
    assert again.commands.run("sync; cat kept after").stdout == "keptwritten"
    answer = copy(mortal, box)
    assert answer.status_code == 201
    Path(answer.json()["path"]).unlink()
    again.kill()
    assert rubbish(mortal) == []


def copy(daemon: Daemon, box: Sandbox) -> httpx.Response:
    address = f"{daemon.url}/sandboxes/{box.sandbox_id}/copy"
    return httpx.post(address, headers={"X-API-KEY": KEY}, timeout=60)


def frozen_group(sandbox_id: str) -> bool:
    old = Path(f"/sys/fs/cgroup/freezer/shmastra/{sandbox_id}/freezer.state")
    if old.exists():
        return old.read_text().strip() == "FROZEN"
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        new = Path(f"{root}/shmastra/{sandbox_id}/cgroup.events")
        if new.exists():
            return "frozen 1" in new.read_text()
    return False


def test_what_runs_goes_on_and_what_is_frozen_stays_so(mortal: Daemon) -> None:
    runs, frozen = mortal.create(), mortal.create()
    runs.commands.run(
        "while :; do date +%s%N > ~/new; mv ~/new ~/now; sleep 0.05; done", background=True, timeout=0
    )
    frozen.pause()
    for number in (signal.SIGKILL, signal.SIGTERM):
        mortal.end(number)
        assert frozen_group(frozen.sandbox_id)
        assert not frozen_group(runs.sandbox_id)
        mortal.start()
        assert frozen_group(frozen.sandbox_id)
        deadline = time.monotonic() + 10
        while not runs.files.exists("/home/user/now"):
            assert time.monotonic() < deadline
        first = runs.files.read("/home/user/now")
        time.sleep(0.3)
        assert runs.files.read("/home/user/now") != first
    for box in (runs, frozen):
        box.kill()


@pytest.mark.parametrize("how", ["killed", "out of memory"])
def test_a_container_that_ends_by_itself_is_noticed_and_starts_again_on_its_files(
    mortal: Daemon, how: str
) -> None:
    box = mortal.create()
    box.files.write("/home/user/kept", "kept")
    pid = int((mortal.data / "sandboxes" / box.sandbox_id / "pid").read_text())
    if how == "killed":
        os.kill(pid, signal.SIGKILL)
    else:
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
        with contextlib.suppress(SandboxException):
            box.commands.run("tail /dev/zero")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while box.get_info().state.value != "paused":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(SandboxException):
        box.commands.run("true")
    again = Sandbox.connect(box.sandbox_id, timeout=600, **mortal.options)
    assert again.files.read("/home/user/kept") == "kept"
    assert again.commands.run("echo again").stdout == "again\n"
    again.kill()
    assert rubbish(mortal) == []


def test_keys_of_creates_outlive_the_daemon(mortal: Daemon) -> None:
    box = mortal.create(idempotency_key="outlives")
    mortal.end(signal.SIGKILL)
    mortal.start()
    assert mortal.create(idempotency_key="outlives").sandbox_id == box.sandbox_id
    box.kill()
    other = mortal.create(idempotency_key="outlives")
    assert other.sandbox_id != box.sandbox_id
    other.kill()


def test_twenty_at_once_are_twenty_with_uids_of_their_own(mortal: Daemon) -> None:
    with ThreadPoolExecutor(20) as many:
        boxes = list(many.map(lambda _: mortal.create(), range(20)))
        assert len({box.sandbox_id for box in boxes}) == 20
        told = list(many.map(lambda box: box.commands.run("echo $HOME").stdout, boxes))
        assert told == ["/home/user\n"] * 20
        uids = {(mortal.data / "sandboxes" / box.sandbox_id / "pid").read_text() for box in boxes}
        firsts = {Path(f"/proc/{pid}/uid_map").read_text().split()[1] for pid in uids}
        assert len(firsts) == 20
        same = list(many.map(lambda _: mortal.create(idempotency_key="one").sandbox_id, range(10)))
        assert len(set(same)) == 1
        assert all(many.map(lambda box: box.kill(), boxes))
    Sandbox.connect(same[0], **mortal.options).kill()
    assert rubbish(mortal) == []


def test_whoever_comes_first_wins_and_the_rest_is_told(mortal: Daemon) -> None:
    """Connect, pause and kill race for one sandbox: afterwards it is whole, or it is gone."""
    for _ in range(4):
        box = mortal.create()
        acts = [box.pause, lambda: Sandbox.connect(box.sandbox_id, **mortal.options)] * 4 + [box.kill]  # noqa: B023
        with ThreadPoolExecutor(len(acts)) as many:
            outcomes = [many.submit(act) for act in acts]
        for outcome in outcomes:
            error = outcome.exception()
            assert error is None or isinstance(error, NotFoundException), error
        assert box.sandbox_id not in known(mortal)
        assert rubbish(mortal) == []
