import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shmastra_cloud.cli.ask import ask, frames, named
from shmastra_cloud.cli.common import Failed


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="shmastra-ask-", dir="/tmp"))
    (folder / "run").mkdir()
    monkeypatch.setenv("SHMASTRA_DATA", str(folder))
    yield folder
    shutil.rmtree(folder)


@contextmanager
def answering(data: Path, answer: bytes) -> Iterator[None]:
    """Answer one connection on the admin's socket with these bytes, and close it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(data / "run" / "admin.sock"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.sendall(answer)
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def all_frames() -> None:
    with frames("GET", "/x") as found:
        list(found)


def test_a_name_stays_one_part_of_a_path() -> None:
    assert named("users", "a/../b?c#d@x y", "link") == "/users/a%2F..%2Fb%3Fc%23d@x%20y/link"


def test_a_refusal_is_the_reason(data: Path) -> None:
    body = b'{"error": "no\\u001b[2J such", "code": "x"}'
    answer = b"HTTP/1.1 404 X\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    with answering(data, answer), pytest.raises(Failed, match=r"^no \[2J such$"):
        ask("GET", "/users")


def test_rubbish_and_a_broken_stream_are_said_to_be_so(data: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    for answer in (b"rubbish\r\n\r\n", head, head + b"5\r\n\x99\x99\x99\x99\x99\r\n"):
        with answering(data, answer), pytest.raises(Failed, match="connection to the cloud broke"):
            all_frames()
        (data / "run" / "admin.sock").unlink()


def test_a_socket_of_others_says_whose_it_is(data: Path) -> None:
    assert os.geteuid() == 0, "this test asks as another user, and needs root for it"
    data.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(data / "run" / "admin.sock"))
        listener.listen()
        (data / "run" / "admin.sock").chmod(0o600)
        command = [sys.executable, "-m", "shmastra_cloud", "--data", str(data), "user", "list"]
        done = subprocess.run(command, capture_output=True, user=65534, group=65534, cwd="/tmp")
    assert (done.returncode, b"closed to you" in done.stderr) == (1, True), done.stderr
