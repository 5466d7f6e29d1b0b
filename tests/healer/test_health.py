import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from shmastra_healer.health import REQUEST, is_healthy


@contextmanager
def answering(*pieces: bytes, pause: float = 0.0) -> Iterator[int]:
    """Serve one exchange on a socket and give its port."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1000) == REQUEST
            with suppress(OSError):  # whoever asked may have had enough
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(pause)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def test_200_is_health() -> None:
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok") as port:
        assert is_healthy(port, 5)
    with answering(b"HTTP/1.1 2", b"00 OK\r\n\r\n", pause=0.05) as port:
        assert is_healthy(port, 5)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 no\r\n\r\n",
        b"",
        b"\x00" * 500,
        b"SSH-2.0 200\r\n",
        b"HTTP/1.1\r\n",
        b"HTTP/1.1 2000 \r\n",
    ],
)
def test_anything_else_is_not(answer: bytes) -> None:
    with answering(answer) as port:
        assert not is_healthy(port, 5)


def test_nobody_there_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert not is_healthy(port, 5)


def test_silence_and_dripping_end_in_time() -> None:
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not is_healthy(listener.getsockname()[1], 0.2)
    assert time.monotonic() - began < 3
    with answering(*[b"H"] * 8, pause=0.1) as port:
        assert not is_healthy(port, 0.3)
