"""How often a provider searched the web for an answer, where its usage object does not say."""

from __future__ import annotations

import re

MAX_SEARCHES = 256
_OPENAI_CALL = re.compile(rb'"(ws_[0-9A-Za-z_]{8,80})"')
_GOOGLE_QUERIES = re.compile(rb'"webSearchQueries"\s*:\s*\[([^\]]*)')
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BY_PROMPT = re.compile(r"gemini-(?:1|2)\.")


class Searches:
    """Sees an answer piece by piece; a search is named in it several times, so a cut does no harm."""

    def __init__(self) -> None:
        self._calls: set[bytes] = set()
        self._queries = 0

    def chunk(self, data: bytes) -> None:
        """Look for searches in a piece."""
        if len(self._calls) < MAX_SEARCHES:
            self._calls.update(_OPENAI_CALL.findall(data))
        for found in _GOOGLE_QUERIES.finditer(data):
            self._queries = max(self._queries, len(_STRING.findall(found[1])))

    def count(self, model: str | None) -> int:
        """Return how many are billed: OpenAI's each, up to Gemini 2.5 one for an answer, then each query."""
        queries = min(self._queries, 1) if _BY_PROMPT.search(model or "") else self._queries
        return min(len(self._calls) + queries, MAX_SEARCHES)
