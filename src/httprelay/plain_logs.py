"""Logs that nothing quoted in them can forge or split, and that nobody can fill."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

LINE_CHARACTERS = 2000
TRACE_CHARACTERS = 20_000
PER_MINUTE = 60
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_Raised = tuple[type[BaseException], BaseException, "TracebackType | None"] | tuple[None, None, None]


def plain(text: str, most: int = LINE_CHARACTERS) -> str:
    """Return text in one line: what cannot be printed as its escape, cut to ``most`` characters."""
    kept = text[:most]
    if not kept.isprintable():
        kept = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in kept)
    return kept if len(text) <= most else f"{kept}... ({len(text) - most} characters more)"


class PlainFormatter(logging.Formatter):
    """Writes a record as one line, and a traceback below it as lines that are set in."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- logging's own name
        """Return the record's line."""
        record.message = plain(record.message.rstrip("\n"))
        return super().formatMessage(record)

    def formatException(self, ei: _Raised) -> str:  # noqa: N802 -- logging's own name
        """Return a traceback's lines, the end of it where it is long."""
        lines = super().formatException(ei).splitlines()
        return "\n".join(f"  {plain(line)}" for line in lines)[-TRACE_CHARACTERS:]


class Held(logging.Filter):
    """Lets each place in the code say ``most`` lines a minute; the first one after that tells of the rest."""

    def __init__(self, most: int = PER_MINUTE, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._most, self._clock = most, clock
        self._said: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is written."""
        place, now = (record.pathname, record.lineno), self._clock()
        since, count = self._said.get(place, (now, 0))
        if now - since >= 60:
            if count > self._most:
                record.msg = f"{record.getMessage()} ({count - self._most} more were held back)"
                record.args = None
            since, count = now, 0
        self._said[place] = (since, count + 1)
        return count < self._most


def configure(level: int = logging.INFO) -> None:
    """Have everything from ``level`` on written to the error output."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter(_FORMAT))
    handler.addFilter(Held())
    logging.basicConfig(level=level, handlers=[handler])
