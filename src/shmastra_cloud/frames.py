"""The frames in which a command's output travels from the web process to the command line. No I/O.

A frame is one byte that names its kind, four bytes with the length of the payload (big-endian), and the
payload. A stream is one ``STARTED`` (the pid inside the sandbox, in decimal), any number of ``OUT``, ``ERR``
(bytes as the program wrote them) and ``ALIVE`` (empty), then one ``END`` (the exit status, in decimal) or one
``FAILED`` (the reason, UTF-8).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = struct.Struct(">BI")
MAX_PAYLOAD = 1 << 20
MEDIA_TYPE = "application/vnd.shmastra.frames"


class Kind(IntEnum):
    """What a frame holds."""

    STARTED = 1
    OUT = 2
    ERR = 3
    ALIVE = 4
    END = 5
    FAILED = 6


class BadFrame(Exception):
    """The stream is not one of frames."""


def frame(kind: Kind, payload: bytes = b"") -> bytes:
    """Return ``payload`` as frames of one kind; what is longer than a frame may be becomes several."""
    pieces = [payload[i : i + MAX_PAYLOAD] for i in range(0, len(payload), MAX_PAYLOAD)] or [b""]
    return b"".join(_HEAD.pack(kind, len(piece)) + piece for piece in pieces)


class FrameReader:
    """Takes a stream in pieces of any size and gives its frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        """Take a piece and give the frames that are whole by now.

        Raises:
            BadFrame: this is no such stream.
        """
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            number, length = _HEAD.unpack_from(self._buffer)
            if length > MAX_PAYLOAD or number not in list(Kind):
                raise BadFrame("The cloud's answer cannot be understood. Are both of the same version?")
            if len(self._buffer) < _HEAD.size + length:
                return
            payload = bytes(self._buffer[_HEAD.size : _HEAD.size + length])
            del self._buffer[: _HEAD.size + length]
            yield Kind(number), payload
