import os
import socket
import subprocess
import sys
from pathlib import Path

from shmastra_healer import port

LISTEN = (
    "import socket,sys,time; s=socket.create_server(('127.0.0.1',0));"
    "print(s.getsockname()[1],flush=True); time.sleep(60)"
)


def listening() -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen([sys.executable, "-c", LISTEN], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_who_listens_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
        assert port.holders(number) == [os.getpid()]
        with socket.create_connection(("127.0.0.1", number)):
            pass
    assert port.holders(number) == []


def test_a_stranger_is_ended_and_a_descendant_is_not() -> None:
    process, number = listening()
    with process:
        assert port.free(number, os.getpid()) == []
        assert port.free(number, process.pid) == []
        assert process.poll() is None
        assert port.free(number, 1) == [process.pid]
        assert process.wait(5) == -9
    process, number = listening()
    with process:
        assert port.free(number, None) == [process.pid]


def test_a_strange_proc_is_no_trouble(tmp_path: Path) -> None:
    assert port.holders(4111, tmp_path) == []
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text("head\n rubbish\n 0: 0100007F:100F 0 0A 0 0 0 0 0 77 1\n")
    (tmp_path / "12").mkdir()
    assert port.holders(4111, tmp_path) == []
    (tmp_path / "12/fd").mkdir()
    (tmp_path / "12/fd/3").symlink_to("socket:[77]")
    assert port.holders(4111, tmp_path) == [12]
