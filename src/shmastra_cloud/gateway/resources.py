"""What is kept at a provider under an id: which routes make such a thing, and which ids a path names."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

# As the providers' paths call them, whether or not a route to them is relayed here.
_COLLECTIONS = frozenset((
    "responses", "conversations", "files", "file_batches", "uploads", "vector_stores", "containers", "skills",
    "assistants", "threads", "runs", "session", "batches", "jobs", "videos", "evals", "memory_stores",
    "cachedContents", "fileSearchStores", "documents", "corpora", "tunedModels",
))  # fmt: skip
_COST_NOTHING = frozenset((
    "responses", "conversations", "files", "uploads", "vector_stores", "containers", "skills",
    "cachedContents", "fileSearchStores",
))  # fmt: skip
_FIRST = re.compile(rb"/([A-Za-z_]+)")
_ACTIONS = frozenset(("compact", "input_tokens"))  # stand where an id would


@lru_cache(maxsize=1024)
def named_in(path: bytes) -> tuple[tuple[str, str], ...]:
    """Return the things that a decoded path names, each as its collection and its id, the outermost first."""
    parts = path.decode("ascii", "replace").split("/")
    pairs = pairwise(parts)
    return tuple(
        (kind, name.partition(":")[0])
        for kind, name in pairs
        if kind in _COLLECTIONS and name and name not in _ACTIONS
    )


def creates(method: str, path: bytes) -> bool:
    """Tell whether a request to a decoded path makes a thing with an id."""
    return method == "POST" and path.rpartition(b"/")[2].decode("ascii", "replace") in _COLLECTIONS


def is_only_kept(pattern: bytes) -> bool:
    """Tell whether a route, by its pattern, deals with kept things and uses no tokens."""
    found = _FIRST.match(pattern)
    kind = found[1].decode() if found else ""
    return kind in _COST_NOTHING and (kind != "responses" or pattern != b"/responses")
