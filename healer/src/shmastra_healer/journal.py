"""The healer's own log, which bounds itself; a full disk is nobody's crash."""

from __future__ import annotations

import logging
import logging.handlers
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 262_144


def journal(path: Path) -> logging.Logger:
    """Return a log in that file and one older one (``.1``); lines that cannot be written are dropped."""
    logging.raiseExceptions = False
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=MOST_BYTES, backupCount=1, encoding="utf-8", errors="backslashreplace", delay=True
    )
    form = logging.Formatter("%(asctime)s.%(msecs)03dZ %(message)s", "%Y-%m-%dT%H:%M:%S")
    form.converter = time.gmtime
    handler.setFormatter(form)
    log = logging.Logger("healer", logging.INFO)  # noqa: LOG001 -- not the root's child, nobody else's
    log.addHandler(handler)
    return log
