"""Progress of long steps: each is named when it begins, and its time is told while it goes on."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

EVERY_SECONDS = 5.0


class Progress:
    """Called with the name of each step; as a context, it falls silent at the end."""

    def __init__(self, say: Callable[[str], None], every_seconds: float = EVERY_SECONDS) -> None:
        self._say, self._every = say, every_seconds
        self._ended = threading.Event()
        self._step, self._began = "", 0.0

    def __call__(self, step: str) -> None:
        """Say that a step begins."""
        self._step, self._began = step, time.monotonic()
        self._say(step)

    def __enter__(self) -> Self:
        """Begin to tell the time."""
        self._thread = threading.Thread(target=self._tell, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """End."""
        self._ended.set()
        self._thread.join(self._every)

    def _tell(self) -> None:
        while not self._ended.wait(self._every):
            taken = time.monotonic() - self._began
            if self._step and taken >= self._every:
                self._say(f"{self._step} ({taken:.0f} s)")
