"""Sees the end of the process that pm2 started, through a pidfd on pm2's pid file."""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shmastra_healer.place import Place

END_SECONDS = 6.0


class Exits:
    """Watches one process at a time."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._pid: int | None = None
        self._ended: int | None = None
        self._descriptor: int | None = None

    def renew(self) -> None:
        """Watch what the pid file names by now; what was watched before is forgotten."""
        self.close()
        self.look()

    def look(self) -> None:
        """Begin to watch, where nothing is watched and something is there."""
        if self._descriptor is not None:
            return
        pid = self._place.pid()
        if pid is None or pid == self._ended:  # pm2 has not noticed yet
            return
        try:
            self._descriptor = os.pidfd_open(pid)
        except OSError:  # it has ended already, or this kernel forbids it: polls see it too
            return
        self._pid = pid

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; True as soon as the watched process has ended."""
        poll = select.poll()
        if self._descriptor is not None:
            poll.register(self._descriptor, select.POLLIN)
        if not poll.poll(max(0.0, seconds) * 1000):
            return False
        self._ended = self._pid
        self.close()
        return True

    def end(self) -> None:
        """End the watched process, politely first; for one that pm2 does not care for any more."""
        if self._descriptor is None:
            return
        for number, seconds in ((signal.SIGTERM, END_SECONDS), (signal.SIGKILL, 1.0)):
            try:
                signal.pidfd_send_signal(self._descriptor, number)
            except OSError:
                break
            if self.wait(seconds):
                return
        self.close()

    def close(self) -> None:
        """Watch nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = self._pid = None


class Clock:
    """Tells a suspension by whichever clock went on: the machine's, or the calendar's after a snapshot."""

    def __init__(self) -> None:
        self._before = self._read()

    def start(self) -> None:
        """Begin to measure."""
        self._before = self._read()

    def longest(self) -> float:
        """Return how many seconds have passed since, by the clock on which it was the most."""
        return max(now - before for now, before in zip(self._read(), self._before, strict=True))

    @staticmethod
    def _read() -> tuple[float, ...]:
        return tuple(
            map(time.clock_gettime, (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME, time.CLOCK_REALTIME))
        )
