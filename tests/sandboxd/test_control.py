import time

import pytest
from e2b import Sandbox, SandboxQuery, Template
from e2b.exceptions import NotFoundException
from tests.sandboxd.conftest import Daemon

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
