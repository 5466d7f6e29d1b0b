"""Asks the dev server for its health: one short exchange on a socket, without loading an HTTP client."""

from __future__ import annotations

import socket
import time

REQUEST = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
HEAD_BYTES = 64


def is_healthy(port: int, seconds: float) -> bool:
    """Tell whether ``GET /health`` on this port of loopback answers 200 within so many seconds."""
    end = time.monotonic() + seconds
    try:
        with socket.create_connection(("127.0.0.1", port), seconds) as connection:
            connection.sendall(REQUEST)
            head = b""
            while b"\r\n" not in head and len(head) < HEAD_BYTES:
                connection.settimeout(max(0.001, end - time.monotonic()))
                piece = connection.recv(HEAD_BYTES)
                if not piece:
                    break
                head += piece
    except OSError:
        return False
    words = head.split(b"\r\n")[0].split(b" ")
    return len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1] == b"200"
