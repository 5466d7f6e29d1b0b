"""A provider's real keys: taken in turn, and left alone for a while after the provider refused one."""

from __future__ import annotations

import json
import logging
import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Headers = Iterable[tuple[bytes, bytes]]

log = logging.getLogger(__name__)

INVALID_SECONDS = 300.0
LIMITED_SECONDS = 30.0
LONGEST_SECONDS = 300.0
MOST_DOUBLINGS = 4
_INVALID = frozenset(
    ("invalid_api_key", "authentication_error", "UNAUTHENTICATED", "API_KEY_INVALID", "account_deactivated")
)


class Taken(NamedTuple):
    """A key, and its place in the pool, by which it is spoken of."""

    place: int
    key: bytes


class KeyPool:
    """Real keys, taken in turn; those that rest are passed over while another one does not.

    When all rest, the one that is back soonest is used all the same: what the provider says of it, with its
    own ``Retry-After``, is truer than anything that could be said here. A pool of one key is always used so.
    """

    def __init__(
        self, keys: tuple[str, ...] = (), *, name: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = tuple(Taken(place, key.encode("ascii")) for place, key in enumerate(keys))
        self._all = tuple(taken.key for taken in self._keys)
        self._name, self._clock = name, clock
        self._turn = 0
        self._until = [float("-inf")] * len(keys)
        self._refusals = [0] * len(keys)
        self._said = [0] * len(keys)

    def __repr__(self) -> str:
        return f"KeyPool({len(self._keys)} keys)"  # never the keys

    def __bool__(self) -> bool:
        return bool(self._keys)

    def all(self) -> tuple[bytes, ...]:
        """Return every key, to find an echoed one."""
        return self._all

    def take(self) -> Taken:
        """Return the key whose turn it is."""
        count = len(self._keys)
        if count == 1:
            return self._keys[0]
        now = self._clock()
        for step in range(count):
            place = (self._turn + step) % count
            if self._until[place] <= now:
                self._turn = (place + 1) % count
                return self._keys[place]
        return min(self._keys, key=lambda taken: self._until[taken.place])

    def resting(self) -> int:
        """Return how many keys rest now."""
        now = self._clock()
        return sum(until > now for until in self._until)

    def works(self, taken: Taken) -> None:
        """Note that a key was good."""
        if self._refusals[taken.place] and self._until[taken.place] <= self._clock():
            self._refusals[taken.place] = self._said[taken.place] = 0

    def refused(self, taken: Taken, status: int, headers: Headers = ()) -> bool:
        """Let a key rest that was answered 401 or 429; return whether another one could be asked now.

        A refusal of a key that rests already, by a request sent before, makes nothing worse.
        """
        place, now = taken.place, self._clock()
        limited = 0.0
        if self._until[place] <= now:
            limited = LIMITED_SECONDS * 2 ** self._refusals[place] * random.uniform(1, 1.1)  # noqa: S311 -- jitter
            self._refusals[place] = min(self._refusals[place] + 1, MOST_DOUBLINGS)
        self._say(place, status)
        told = retry_after(headers)
        seconds = INVALID_SECONDS if status != 429 else min(told or limited, LONGEST_SECONDS)
        self._until[place] = max(self._until[place], now + seconds)
        return any(until <= now for until in self._until)

    def _say(self, place: int, status: int) -> None:
        if self._said[place] == status:  # said once, until it works again
            return
        self._said[place] = status
        why = "has reached a limit" if status == 429 else "is not valid any more"
        level = logging.INFO if status == 429 else logging.WARNING
        log.log(level, "%s: key %d of %d %s (%d)", self._name, place + 1, len(self._keys), why, status)


def retry_after(headers: Headers) -> float | None:
    """Return for how many seconds an answer asks to be left alone (RFC 9110, 10.2.3), at least 1, or None.

    ``retry-after-ms`` is OpenAI's finer one.
    """
    values = dict(headers)
    try:
        if b"retry-after-ms" in values:
            return max(1.0, float(values[b"retry-after-ms"]) / 1000)
        told = values[b"retry-after"].decode("ascii")
        if told.strip().isdecimal():
            return max(1.0, float(told))
        return max(1.0, (parsedate_to_datetime(told).astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (KeyError, ValueError, OverflowError):
        return None


def says_invalid(body: bytes) -> bool:
    """Tell whether an error's body says that the key is at fault, and not what was asked with it.

    Google answers 400 (``API_KEY_INVALID``) for a wrong key and 403 both for that and for much else.
    """
    try:
        error = json.loads(body)["error"]
        details = [one.get("reason") for one in error.get("details") or ()]
        return not _INVALID.isdisjoint([error.get("code"), error.get("type"), error.get("status"), *details])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False
