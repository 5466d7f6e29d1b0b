import time

import pytest
from e2b import CommandExitException, PtySize, Sandbox, TimeoutException
from e2b.exceptions import (
    AuthenticationException,
    InvalidArgumentException,
    NotFoundException,
    SandboxException,
)

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


def test_a_program_has_ended_when_it_ends_whoever_holds_its_outputs(sandbox: Sandbox) -> None:
    done = sandbox.commands.run("(sleep 600; echo late) & head -c 200000 /dev/zero | tr '\\0' x", timeout=30)
    assert done.stdout == "x" * 200_000
    sandbox.commands.run("pkill -f 'sleep 600'")


def test_what_goes_on_in_the_background_may_still_write(sandbox: Sandbox) -> None:
    sandbox.commands.run("(sleep 0.5; yes | head -c 300000; touch ~/wrote) & echo started")
    deadline = time.monotonic() + 20
    while not sandbox.files.exists("/home/user/wrote"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_end_is_told_as_the_kernel_tells_it(sandbox: Sandbox) -> None:
    for command, status, error in (
        ("kill -9 $$", -1, "signal: killed"),
        ("kill -15 $$", -1, "signal: terminated"),
        ("exit 137", 137, "exit status 137"),
    ):
        with pytest.raises(CommandExitException) as caught:
            sandbox.commands.run(command)
        assert (caught.value.exit_code, caught.value.error) == (status, error)


def test_a_program_is_followed_again_and_its_input_ends(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("cat; echo over", background=True, stdin=True)
    handle.disconnect()
    again = sandbox.commands.connect(handle.pid)
    sandbox.commands.send_stdin(handle.pid, "hello\n")
    sandbox.commands.close_stdin(handle.pid)
    assert again.wait().stdout == "hello\nover\n"
    with pytest.raises(NotFoundException):
        sandbox.commands.connect(handle.pid)


def test_a_program_whose_time_is_up_is_killed_though_nobody_follows_it(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("trap '' TERM INT HUP; sleep 600", background=True, timeout=2)
    handle.disconnect()
    deadline = time.monotonic() + 20
    while handle.pid in [one.pid for one in sandbox.commands.list()]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_helper_that_its_user_kills_is_started_anew_and_ends_are_still_told(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("sleep 3", background=True)
    with pytest.raises(SandboxException):
        sandbox.commands.run("pkill -9 envd; sleep 5")
    with pytest.raises(CommandExitException) as caught:
        handle.wait()
    assert caught.value.error == "lost"
    assert sandbox.commands.run("echo again").stdout == "again\n"


def test_a_place_or_a_user_that_is_not_there_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidArgumentException, match="/none"):
        sandbox.commands.run("true", cwd="/none")
    with pytest.raises(AuthenticationException, match="nobody"):
        sandbox.commands.run("true", user="nobody")  # type: ignore[arg-type]


def read_until(handle: object, wanted: bytes, seen: bytearray) -> None:
    for _, _, data in handle:  # type: ignore[attr-defined]
        seen += data or b""
        if wanted in seen:
            return
    raise AssertionError(bytes(seen))


def test_a_terminal_has_a_size_takes_input_and_is_interrupted(sandbox: Sandbox) -> None:
    terminal = sandbox.pty.create(PtySize(rows=30, cols=100), envs={"PS1": ""}, timeout=60)
    seen = bytearray()
    sandbox.pty.send_stdin(terminal.pid, b"stty size; tty\n")
    read_until(terminal, b"/dev/pts/", seen)
    assert b"30 100" in seen
    sandbox.pty.resize(terminal.pid, PtySize(rows=40, cols=120))
    sandbox.pty.send_stdin(terminal.pid, b"stty size\n")
    read_until(terminal, b"40 120", seen)
    sandbox.pty.send_stdin(terminal.pid, b"echo ready; sleep 600; echo status $?\n")
    read_until(terminal, b"ready\r\n", seen)
    time.sleep(0.3)
    sandbox.pty.send_stdin(terminal.pid, b"\x03")
    sandbox.pty.send_stdin(terminal.pid, b"echo inter''rupted\n")
    read_until(terminal, b"interrupted", seen)
    with pytest.raises(SandboxException):
        sandbox.commands.close_stdin(terminal.pid)
    sandbox.pty.send_stdin(terminal.pid, b"sleep 987 &\n")
    assert sandbox.pty.kill(terminal.pid)
    with pytest.raises(CommandExitException):
        terminal.wait()
    assert "sleep 987" not in sandbox.commands.run("ps -eo args").stdout
    assert not sandbox.pty.kill(terminal.pid)


def test_what_a_shell_on_a_terminal_says_at_last_arrives(sandbox: Sandbox) -> None:
    terminal = sandbox.pty.create(PtySize(rows=30, cols=100), timeout=60)
    sandbox.pty.send_stdin(terminal.pid, b"printf 'last%s' word; exit 5\n")
    seen = bytearray()
    with pytest.raises(CommandExitException) as caught:
        terminal.wait(on_pty=seen.extend)
    assert b"lastword" in seen
    assert caught.value.exit_code == 5


def test_a_signal_reaches_only_the_group_it_is_for(sandbox: Sandbox) -> None:
    first, second = (sandbox.commands.run("sleep 600", background=True) for _ in range(2))
    assert sandbox.commands.kill(first.pid)
    with pytest.raises(CommandExitException):
        first.wait()
    assert second.pid in [one.pid for one in sandbox.commands.list()]
    assert sandbox.commands.kill(second.pid)
