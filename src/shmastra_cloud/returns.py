"""Where somebody goes on to after signing in or starting up: only ever to a page of this origin."""

from __future__ import annotations

import re

STUDIO = "/studio"
RETURN_CHARACTERS = 2048
_OURS = re.compile(
    r"/(studio|workspace|manage|usage)(/[A-Za-z0-9._~%-]+)*/?(\?[A-Za-z0-9._~%&=+-]*)?", re.ASCII
)


def safe_return(wanted: str | None, otherwise: str = STUDIO) -> str:
    """Return ``wanted`` where it is a plain path of one of our pages, else ``otherwise``."""
    if not wanted or len(wanted) > RETURN_CHARACTERS or not _OURS.fullmatch(wanted):
        return otherwise
    return otherwise if "/.." in wanted or "%2e" in wanted.lower() else wanted
