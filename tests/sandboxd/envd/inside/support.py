"""The helper's program, run on this machine over a real socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from sandboxd.envd.helper import ARGV, bundle


class Inside:
    """A helper, asked in plain turns."""

    def __init__(self, link: socket.socket) -> None:
        self.link, self.number = link, 0

    def ask(self, do: str, descriptors: list[int] | None = None, **more: Any) -> None:
        self.number += 1
        data = json.dumps({"id": self.number, "do": do, "home": "/nowhere", **more}).encode()
        socket.send_fds(self.link, [data], descriptors or [])
        for descriptor in descriptors or []:
            os.close(descriptor)

    def answer(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.link.recv(1 << 20))
        return told

    def done(self, do: str, **more: Any) -> dict[str, Any]:
        self.ask(do, **more)
        return self.answer()


@contextlib.contextmanager
def inside() -> Iterator[Inside]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(20)
    with subprocess.Popen([sys.executable, *ARGV[1:]], stdin=theirs) as process, ours:
        theirs.close()
        ours.send(bundle())
        try:
            yield Inside(ours)
        finally:
            ours.close()
            process.wait(20)
