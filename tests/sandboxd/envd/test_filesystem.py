import asyncio
import time

import pytest
from e2b import AsyncSandbox, FileType, Sandbox
from e2b.exceptions import NotFoundException, SandboxException
from tests.sandboxd.conftest import Daemon

pytestmark = pytest.mark.engine


def test_folders_are_made_listed_moved_and_removed(sandbox: Sandbox) -> None:
    assert sandbox.files.make_dir("/home/user/a/b")
    assert not sandbox.files.make_dir("/home/user/a/b")
    sandbox.files.write("/home/user/a/b/f", "x")
    names = [entry.path for entry in sandbox.files.list("/home/user/a", depth=2)]
    assert names == ["/home/user/a/b", "/home/user/a/b/f"]
    sandbox.files.rename("/home/user/a/b/f", "/home/user/a/g")
    assert sandbox.files.exists("/home/user/a/g")
    assert sandbox.files.get_info("/home/user/a/g").owner == "user"
    sandbox.files.remove("/home/user/a")
    assert not sandbox.files.exists("/home/user/a")
    with pytest.raises(NotFoundException):
        sandbox.files.list("/home/user/a")


def test_what_the_user_may_not_he_may_not_through_envd_either(sandbox: Sandbox) -> None:
    for path in ("/usr/evil", "/proc/sys/kernel/x"):
        with pytest.raises(SandboxException):
            sandbox.files.make_dir(path)


def test_changes_are_told_to_who_asks_now_and_then(sandbox: Sandbox) -> None:
    sandbox.files.make_dir("/home/user/watched/below")
    with pytest.raises(NotFoundException):
        sandbox.files.watch_dir("/home/user/none")
    handle = sandbox.files.watch_dir("/home/user/watched", recursive=True, include_entry=True)
    sandbox.commands.run(
        "cd watched && echo x > below/f && mv below/f g && chmod 600 g && rm g && mkdir -p a/b"
    )
    told: set[tuple[str, str]] = set()
    deadline = time.monotonic() + 10
    wanted = {("create", "below/f"), ("write", "below/f"), ("rename", "below/f"), ("create", "g")}
    wanted |= {("chmod", "g"), ("remove", "g"), ("create", "a"), ("create", "a/b")}
    while not wanted <= told:
        assert time.monotonic() < deadline, told
        for one in handle.get_new_events():
            told.add((one.type.value, one.name))
            assert one.entry is None or one.entry.path == f"/home/user/watched/{one.name}"
        time.sleep(0.05)
    handle.stop()
    with pytest.raises(SandboxException):
        handle.get_new_events()


async def test_changes_are_told_as_they_happen(daemon: Daemon, sandbox: Sandbox) -> None:
    same = await AsyncSandbox.connect(sandbox.sandbox_id, timeout=600, **daemon.options)
    seen: asyncio.Queue[str] = asyncio.Queue()
    handle = await same.files.watch_dir("/home/user", lambda event: seen.put_nowait(event.name))
    await same.files.write("/home/user/streamed", "x")
    async with asyncio.timeout(10):
        while await seen.get() != "streamed":
            pass
    await handle.stop()


def test_only_so_many_folders_are_watched(daemon: Daemon) -> None:
    box = daemon.create()
    handles = [box.files.watch_dir("/home/user") for _ in range(32)]
    with pytest.raises(SandboxException, match="stop one of them"):
        box.files.watch_dir("/home/user")
    handles[0].stop()
    box.files.watch_dir("/home/user").stop()
    box.kill()


def test_links_are_shown_with_where_they_lead(sandbox: Sandbox) -> None:
    sandbox.commands.run("ln -sfn /etc/hostname ~/to")
    info = sandbox.files.get_info("/home/user/to")
    assert (info.type, info.symlink_target) == (FileType.SYMLINK, "/etc/hostname")
