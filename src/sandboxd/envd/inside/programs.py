"""Programs: started in a session of their own, waited for, and drained when nobody listens any more."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

# it makes the terminal on its standard input the one that ^C comes from
CONTROLLED = ["/usr/bin/setsid", "--ctty"]
DRAIN_BYTES = 1 << 16


class Program:
    """A program, and the ends of its outputs that are kept open for it.

    Whoever started it may go away; it must not die of that at its next line of output.
    """

    def __init__(self, asked: dict[str, Any], descriptors: list[int]) -> None:
        self.terminal: int | None = None
        self._kept = descriptors[-2:]
        if not Path(asked["cwd"]).is_dir():
            raise NotADirectoryError(20, f"cwd '{asked['cwd']}' does not exist")
        try:
            if asked.get("terminal"):
                self._start_on_terminal(asked)
            else:
                self._start(asked, descriptors)
        except BaseException:
            self.close()
            raise
        self.ended = os.pidfd_open(self.process.pid)

    def _start(self, asked: dict[str, Any], descriptors: list[int]) -> None:
        *given, out, err = descriptors[:-2]
        self.process = subprocess.Popen(  # noqa: S603 -- what its user asks for
            [asked["cmd"], *asked["args"]],
            stdin=given[0] if given else subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=asked["cwd"],
            env={**os.environ, **asked["env"]},
            start_new_session=True,
        )

    def _start_on_terminal(self, asked: dict[str, Any]) -> None:
        self.terminal, inner = os.openpty()
        try:
            size = struct.pack("HHHH", *asked["terminal"], 0, 0)
            fcntl.ioctl(inner, termios.TIOCSWINSZ, size)
            self.process = subprocess.Popen(  # noqa: S603 -- what its user asks for
                [*CONTROLLED, asked["cmd"], *asked["args"]],
                stdin=inner,
                stdout=inner,
                stderr=inner,
                cwd=asked["cwd"],
                env={**os.environ, **asked["env"]},
            )
        finally:
            os.close(inner)

    def finish(self) -> int:
        """Return the status of a program that has ended: negative for the signal that ended it."""
        os.close(self.ended)
        return self.process.wait()

    def outputs(self) -> list[int]:
        """Hand over what is to be drained."""
        kept, self._kept = self._kept, []
        if self.terminal is not None:
            kept.append(self.terminal)
            self.terminal = None
        return kept

    def close(self) -> None:
        """Close what is kept."""
        for descriptor in self.outputs():
            os.close(descriptor)


def drained(descriptor: int) -> bool:
    """Throw away what was written; True where no more can come."""
    try:
        return not os.read(descriptor, DRAIN_BYTES)
    except BlockingIOError:
        return False
    except OSError:
        return True
