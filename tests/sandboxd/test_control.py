import io
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from e2b import CommandExitException, Sandbox, SandboxQuery, SandboxState, Template
from e2b.exceptions import NotFoundException
from tests.sandboxd.conftest import Daemon

from sandboxd import packing
from sandboxd.client import Client
from sandboxd.errors import NoSuchSandbox

pytestmark = pytest.mark.engine


def test_a_sandbox_is_found_by_its_metadata_and_gone_when_killed(daemon: Daemon) -> None:
    box = daemon.create(metadata={"who": "ann & bob", "n": "1"}, idempotency_key="same")
    query = SandboxQuery(metadata={"who": "ann & bob"})
    [found] = Sandbox.list(query=query, api_key=daemon.options["api_key"], api_url=daemon.url).next_items()
    assert found.sandbox_id == box.sandbox_id
    assert daemon.create(idempotency_key="same").sandbox_id == box.sandbox_id
    assert box.kill()
    assert not box.kill()
    with pytest.raises(NotFoundException):
        Sandbox.connect(box.sandbox_id, **daemon.options)


def test_paused_twice_is_said_so_and_time_only_grows_with_connect(daemon: Daemon) -> None:
    box = daemon.create()
    before = box.get_info().end_at
    Sandbox.connect(box.sandbox_id, timeout=1, **daemon.options)
    assert box.get_info().end_at == before
    assert box.pause()
    assert box.get_info().state.value == "paused"
    assert not box.pause()
    box.kill()


@pytest.mark.parametrize(("on_timeout", "left"), [("pause", True), ("kill", False)])
def test_what_outlives_its_time_is_paused_or_ended(daemon: Daemon, on_timeout: str, left: bool) -> None:
    box = daemon.create(lifecycle={"on_timeout": on_timeout})
    box.set_timeout(0)
    deadline = time.monotonic() + 20
    while True:
        try:
            state = box.get_info().state.value
        except NotFoundException:
            state = "gone"
        if state != "running":
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert state == ("paused" if left else "gone")
    if left:
        box.kill()


def test_templates_are_known_by_their_names(daemon: Daemon) -> None:
    options = {"api_key": daemon.options["api_key"], "api_url": daemon.url}
    assert Template.exists("base", **options)
    assert not Template.exists("nothing", **options)


def test_sandboxes_are_told_a_page_at_a_time_by_state(daemon: Daemon) -> None:
    boxes = [daemon.create(metadata={"test": "pages"}) for _ in range(3)]
    boxes[1].pause()
    where = {"api_key": daemon.options["api_key"], "api_url": daemon.url}
    query = SandboxQuery(metadata={"test": "pages"})
    pages = Sandbox.list(query=query, limit=2, **where)
    first, second = pages.next_items(), pages.next_items()
    assert [one.sandbox_id for one in first + second] == [box.sandbox_id for box in reversed(boxes)]
    assert not pages.has_next
    ascending = Sandbox.list(query=query, order="asc", **where).next_items()
    assert [one.sandbox_id for one in ascending] == [box.sandbox_id for box in boxes]
    paused = SandboxQuery(state=[SandboxState.PAUSED], metadata={"test": "pages"}, template="base")
    [found] = Sandbox.list(query=paused, **where).next_items()
    assert found.sandbox_id == boxes[1].sandbox_id
    for box in boxes:
        box.kill()


def test_what_is_said_at_creation_holds(daemon: Daemon) -> None:
    box = daemon.create(envs={"GREETING": "hello you"}, allow_internet_access=False)
    assert box.commands.run("echo $GREETING").stdout == "hello you\n"
    assert box.commands.run("echo $GREETING", envs={"GREETING": "bye"}).stdout == "bye\n"
    with pytest.raises(CommandExitException):
        box.commands.run("curl -sf -m 5 https://pypi.org/")
    before = box.get_info().end_at
    box.set_timeout(7200)
    assert (box.get_info().end_at - before).total_seconds() > 500
    box.kill()


def test_a_disk_is_copied_as_it_is_at_one_moment_while_the_sandbox_goes_on(
    daemon: Daemon, tmp_path: Path
) -> None:
    """Two files that are always written one after the other never differ by more than that."""
    box = daemon.create()
    box.commands.run(
        "i=0; while :; do i=$((i+1)); echo $i >> ~/a; echo $i >> ~/b; done", background=True, timeout=0
    )
    counted = []
    for _ in range(2):
        path = Client(daemon.url, daemon.options["api_key"]).copy_disk(box.sandbox_id)
        assert path.stat().st_mode & 0o777 == 0o600
        packed = subprocess.run(packing.disk_argv(path, tmp_path), capture_output=True, check=True).stdout
        path.unlink()
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            lines = [len(tar.extractfile(f"./home/user/{name}").read().split()) for name in "ab"]  # type: ignore[union-attr]
        assert lines[0] - lines[1] in (0, 1)
        counted.append(lines[0])
    assert counted[0] < counted[1]
    assert box.get_info().state.value == "running"
    box.kill()
    with pytest.raises(NoSuchSandbox):
        Client(daemon.url, daemon.options["api_key"]).copy_disk(box.sandbox_id)
