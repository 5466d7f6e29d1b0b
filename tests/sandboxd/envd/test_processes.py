import time

import pytest
from e2b import CommandExitException, Sandbox, TimeoutException

pytestmark = pytest.mark.engine


def test_output_status_environment_and_place(sandbox: Sandbox) -> None:
    done = sandbox.commands.run("echo out; echo err >&2; echo $X; pwd", envs={"X": "a b"}, cwd="/tmp")
    assert (done.stdout, done.stderr, done.exit_code) == ("out\na b\n/tmp\n", "err\n", 0)
    with pytest.raises(CommandExitException) as caught:
        sandbox.commands.run("exit 3")
    assert caught.value.exit_code == 3
    assert sandbox.commands.run("whoami; echo $HOME", user="root").stdout == "root\n/root\n"


def test_output_comes_as_it_is_made(sandbox: Sandbox) -> None:
    seen: list[str] = []
    sandbox.commands.run("for i in 1 2 3; do echo $i; sleep 0.1; done", on_stdout=seen.append)
    assert "".join(seen) == "1\n2\n3\n"
    assert len(seen) > 1


def test_a_time_out_ends_the_whole_group(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutException):
        sandbox.commands.run("sleep 91 & sleep 92", timeout=1)
    deadline = time.monotonic() + 10
    while "sleep 9" in sandbox.commands.run("ps -eo args").stdout:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_program_in_the_background_is_fed_found_and_killed(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("read line; echo got $line; sleep 600", background=True, stdin=True)
    assert handle.pid in [one.pid for one in sandbox.commands.list()]
    sandbox.commands.send_stdin(handle.pid, "hello\n")
    for out, _, _ in handle:
        assert out == "got hello\n"
        break
    assert sandbox.commands.kill(handle.pid)
    assert not sandbox.commands.kill(999_999)


def test_much_output_arrives_whole(sandbox: Sandbox) -> None:
    done = sandbox.commands.run("head -c 3000000 /dev/zero | tr '\\0' x")
    assert len(done.stdout) == 3_000_000


def test_a_signal_reaches_only_the_group_it_is_for(sandbox: Sandbox) -> None:
    first, second = (sandbox.commands.run("sleep 600", background=True) for _ in range(2))
    assert sandbox.commands.kill(first.pid)
    with pytest.raises(CommandExitException):
        first.wait()
    assert second.pid in [one.pid for one in sandbox.commands.list()]
    assert sandbox.commands.kill(second.pid)
