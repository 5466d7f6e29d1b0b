"""How often one address may fail; kept in this process, and bounded."""

from __future__ import annotations

import time
from collections import OrderedDict

ADDRESSES = 10_000


class Limit:
    """Lets an address fail ``burst`` times at once, and again at ``burst`` times per ``seconds``."""

    def __init__(self, burst: int = 30, seconds: float = 60) -> None:
        self._burst, self._seconds = burst, seconds
        self._failed: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Return after how many seconds an address may try again; 0: now."""
        over = self._level(address, time.monotonic()) - self._burst + 1
        return max(0.0, over * self._seconds / self._burst)

    def failed(self, address: str) -> None:
        """Count a failure."""
        now = time.monotonic()
        level = self._level(address, now)
        self._failed.pop(address, None)
        self._failed[address] = (level + 1, now)
        while len(self._failed) > ADDRESSES:
            self._failed.popitem(last=False)

    def _level(self, address: str, now: float) -> float:
        level, at = self._failed.get(address, (0.0, now))
        return max(0.0, level - (now - at) * self._burst / self._seconds)
