import os
import select
import socket
import time
from pathlib import Path

from tests.sandboxd.envd.inside.support import Inside, inside


def start(helper: Inside, command: str, **more: object) -> tuple[int, int, int]:
    """Start a program without input; return its number, its output and its pid."""
    output, theirs = os.pipe()
    helper.ask(
        "start",
        [theirs, os.dup(theirs), os.dup(output), os.dup(output)],
        cmd="/bin/sh",
        args=["-c", command],
        env={"X": "1"},
        cwd="/",
        **more,
    )
    return helper.number, output, int(helper.answer()["ok"]["pid"])


def test_a_program_has_its_session_its_environment_and_its_status() -> None:
    with inside() as helper:
        number, output, pid = start(helper, "echo $X $(ps -o sid= -p $$); exit 3")
        assert helper.answer() == {"id": number, "exit": 3}
        assert os.read(output, 100).split() == [b"1", str(pid).encode()]
        helper.done("drain", program=number)
        number, output, _ = start(helper, "kill -9 $$")
        assert helper.answer() == {"id": number, "exit": -9}


def test_a_program_outlives_whoever_listened_to_it(tmp_path: Path) -> None:
    with inside() as helper:
        _, output, _ = start(helper, f"for i in $(seq 20000); do echo $i; done; touch {tmp_path}/done")
        os.close(output)
    assert (tmp_path / "done").exists()


def test_what_cannot_be_started_is_named() -> None:
    with inside() as helper:
        for cmd, cwd in (("/none", "/"), ("/bin/true", "/none")):
            output, theirs = os.pipe()
            helper.ask(
                "start", [theirs, os.dup(theirs), os.dup(output), output], cmd=cmd, args=[], env={}, cwd=cwd
            )
            assert "/none" in helper.answer()["error"]["text"]


def test_a_terminal_is_one_and_has_its_size() -> None:
    with inside() as helper:
        helper.ask("start", cmd="/bin/sh", args=["-c", "stty size; tty"], env={}, cwd="/", terminal=[33, 44])
        data, [terminal], _, _ = socket.recv_fds(helper.link, 1000, 1)
        assert b'"pid"' in data
        assert helper.answer()["exit"] == 0
        told, deadline = b"", time.monotonic() + 10
        while b"/dev/pts/" not in told and time.monotonic() < deadline:
            if select.select([terminal], [], [], 1)[0]:
                told += os.read(terminal, 1000)
        assert told.startswith(b"33 44\r\n/dev/pts/")
        os.close(terminal)
        helper.done("drain", program=1)
