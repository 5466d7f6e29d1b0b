import os
import signal
import subprocess
import time

import pytest
from tests.shmastra_cloud.housing import EMAIL, House
from tests.shmastra_cloud.webs import Web

from shmastra_cloud.database import Pool

ODD = ["a b", "it's", '"q"', "new\nline", "ünï✓", "$HOME", "*", "", "-n", "--data", "\\"]


def test_arguments_arrive_exactly_as_given(web: Web, ann: House) -> None:
    done = web.shmastra("sandbox", "exec", EMAIL, "--", "printf", "%s\\0", *ODD)
    assert done.stdout.decode().split("\0") == [*ODD, ""]
    assert done.returncode == 0


def test_user_folder_environment_streams_and_status(web: Web, ann: House) -> None:
    script = 'id -un; pwd; echo "$GREETING|$USER_ID|${EMPTY-unset}"; echo "said aside" >&2; exit 7'
    done = web.shmastra("sandbox", "exec", ann.sandbox.sandbox_id, "--", "sh", "-c", script)
    assert done.stdout.decode().splitlines() == ["user", "/home/user/shmastra", "hello 'world'|made-up|"]
    assert done.stderr == b"said aside\n"
    assert done.returncode == 7


def test_bytes_are_untouched_both_ways(web: Web, ann: House) -> None:
    data = bytes(range(256)) * 3000 + b"\xff\xfe\xc3"
    assert web.shmastra("sandbox", "exec", EMAIL, "--", "cat", stdin=data).stdout == data
    ended_early = web.shmastra("sandbox", "exec", EMAIL, "--", "head", "-c", "2", stdin=data * 5)
    assert (ended_early.stdout, ended_early.returncode) == (data[:2], 0)


def test_output_comes_as_it_is_written(web: Web, ann: House) -> None:
    running = web.popen("sandbox", "exec", EMAIL, "--", "sh", "-c", "echo first; cat; echo last",
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert running.stdout is not None
    assert running.stdin is not None
    assert running.stdout.readline() == b"first\n"
    running.stdin.write(b"second\n")
    running.stdin.flush()
    assert running.stdout.readline() == b"second\n"
    running.stdin.close()
    assert running.stdout.read() == b"last\n"
    running.stdout.close()
    assert running.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_command_ends_with_whoever_started_it(web: Web, ann: House, number: signal.Signals) -> None:
    script = "echo $$; exec sleep 300"
    running = web.popen("sandbox", "exec", EMAIL, "--", "sh", "-c", script, stdout=subprocess.PIPE)
    assert running.stdout is not None
    pid = int(running.stdout.readline())
    running.send_signal(number)
    running.stdout.close()
    assert running.wait(20) == (130 if number is signal.SIGINT else -number)
    deadline = time.monotonic() + 15
    while not ann.sandbox.commands.run(f"kill -0 {pid} 2>&1 || echo gone").stdout.strip().endswith("gone"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_paused_sandbox_is_resumed_first(web: Web, ann: House) -> None:
    assert web.shmastra("sandbox", "pause", EMAIL).stdout == b"paused\n"
    assert web.shmastra("sandbox", "exec", EMAIL, "--", "echo", "hi").stdout == b"hi\n"
    shown = web.shmastra("sandbox", "events", EMAIL).stdout.decode()
    assert "an admin went in" in shown


async def test_it_counts_as_activity(web: Web, ann: House, pool: Pool) -> None:
    await pool.execute("update sandboxes set awake_until = now() - interval '1 minute'")
    assert web.shmastra("sandbox", "exec", EMAIL, "--", "true").returncode == 0
    assert await pool.fetchval("select awake_until > now() from sandboxes")
    assert await pool.fetchval("select awake_because from sandboxes") == "sandbox exec"


def test_what_cannot_be_had_is_said_in_one_sentence(web: Web, ann: House) -> None:
    for words in (["exec", "no@one.com", "--", "true"], ["logs", "no@one.com"]):
        done = web.shmastra("sandbox", *words)
        assert done.returncode == 1
        assert done.stderr.count(b"\n") == 1
        assert b"shmastra sandbox list" in done.stderr
    assert web.shmastra("sandbox", "exec", EMAIL).returncode == 2
    assert web.shmastra("sandbox", "exec", EMAIL, "--", os.fsdecode(b"\xff")).returncode == 2
    assert web.shmastra("sandbox", "exec", EMAIL, "--", "no-such-program").returncode == 127


def test_logs_show_their_end_and_go_on(web: Web, ann: House) -> None:
    ann.sandbox.files.write("/home/user/shmastra/.logs/shmastra.log", "one\ntwo\nthree\n")
    assert web.shmastra("sandbox", "logs", EMAIL, "-n", "2").stdout == b"two\nthree\n"
    missing = web.shmastra("sandbox", "logs", EMAIL, "healer")
    assert (missing.returncode, b"no such log yet" in missing.stderr) == (1, True)
    following = web.popen("sandbox", "logs", EMAIL, "-n", "1", "-f", stdout=subprocess.PIPE)
    assert following.stdout is not None
    assert following.stdout.readline() == b"three\n"
    ann.sandbox.commands.run("echo four >> /home/user/shmastra/.logs/shmastra.log")
    assert following.stdout.readline() == b"four\n"
    following.send_signal(signal.SIGINT)
    following.stdout.close()
    assert following.wait(20) == 130
    assert web.shmastra("sandbox", "logs", EMAIL, "kernel").returncode == 2
