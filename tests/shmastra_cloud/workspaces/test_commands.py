import pytest
from e2b import AsyncSandbox
from tests.sandboxd.conftest import Daemon, daemon

from shmastra_cloud.frames import Kind
from shmastra_cloud.workspaces import Inside, SandboxGone
from shmastra_cloud.workspaces.commands import exit_status
from shmastra_cloud.workspaces.engine import Running

__all__ = ["daemon"]


async def test_a_program_is_run_fed_and_left_when_its_sandbox_is_gone(daemon: Daemon) -> None:
    sandbox = await AsyncSandbox.create("base", timeout=600, **daemon.options)
    await sandbox.files.make_dir("/home/user/shmastra")
    inside = Inside(Running(sandbox, sandbox.sandbox_id, None, None))
    seen: list[tuple[Kind, bytes]] = []
    async for kind, data in inside.run(["/bin/cat"], with_env=False, with_input=True):
        seen.append((kind, data))
        if kind is Kind.STARTED:
            await inside.feed(int(data), _pieces(b"\xff\0", b"", b"x"))
    assert b"".join(data for kind, data in seen if kind is Kind.OUT) == b"\xff\0x"
    assert seen[-1] == (Kind.END, b"0")
    await inside.feed(99999, _pieces(b"too late"))
    await inside.end(99999)
    await sandbox.kill()
    with pytest.raises(SandboxGone):
        async for _ in inside.run(["/bin/true"], with_env=False, with_input=False):
            pass


async def _pieces(*pieces: bytes):  # type: ignore[no-untyped-def]  # noqa: ANN202
    for piece in pieces:
        yield piece


def test_a_signal_is_told_as_a_shell_does() -> None:
    assert exit_status(3, "exit status 3") == 3
    assert exit_status(-1, "signal: SIGTERM") == 143
    assert exit_status(-1, "signal: killed") == 137
    assert exit_status(-1, "who knows") == 137
