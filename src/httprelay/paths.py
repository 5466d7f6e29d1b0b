"""Which paths may be passed on: those that every server reads in the same way."""

from __future__ import annotations

import re
from functools import lru_cache

# A dot segment in any spelling, an empty segment, an encoded separator or control character, a raw one.
_UNSAFE = re.compile(
    rb"(?:^|/)(?:\.|%2e){1,2}(?:/|;|$)|//|%2f|%5c|\\|%[01][0-9a-f]|%7f|[\x00-\x20\x7f-\xff#?]", re.IGNORECASE
)
_BAD_ESCAPE = re.compile(rb"%(?![0-9a-fA-F]{2})")


@lru_cache(maxsize=4096)
def safe_path(raw_path: bytes) -> bool:
    """Tell whether a path, as it came over the wire and without its query, means the same everywhere."""
    return raw_path.startswith(b"/") and not _UNSAFE.search(raw_path) and not _BAD_ESCAPE.search(raw_path)
