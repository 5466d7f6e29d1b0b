"""How far something long has come, on a terminal's last line; elsewhere nothing is printed."""

from __future__ import annotations

import sys
import time

EVERY_SECONDS = 0.5


class Progress:
    """Counts bytes and shows them twice a second, from half a second on."""

    def __init__(self) -> None:
        self._bytes = 0
        self._next = time.monotonic() + EVERY_SECONDS

    def add(self, size: int) -> None:
        """Count ``size`` bytes more."""
        self._bytes += size
        if time.monotonic() >= self._next and sys.stderr.isatty():
            self._next = time.monotonic() + EVERY_SECONDS
            sys.stderr.write(f"\r{self._bytes / 1e6:.1f} MB \r")
            sys.stderr.flush()
