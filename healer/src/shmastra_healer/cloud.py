"""Reports to the cloud, in a thread of its own: no repair ever waits for a report."""

from __future__ import annotations

import json
import random
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from shmastra_healer.errors import NoSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.client import HTTPConnection

    from shmastra_healer.events import Report
    from shmastra_healer.place import Place

PATH = "/api/sandbox/heal"
ANSWER_SECONDS = 10
MAX_TRIES = 12
MAX_UNKNOWN = 4  # tries with a key that the cloud does not know; it may be in the midst of changing it
FIRST_REST, LONGEST_REST = 0.5, 60.0
TRY_AGAIN = {401, 408, 425, 429}


class Message(NamedTuple):
    """One report."""

    status: Report
    attempt: int
    error: str | None = None

    def body(self) -> bytes:
        """Return what is sent."""
        return json.dumps(
            {name: value for name, value in self._asdict().items() if value is not None}
        ).encode()


class Reporter:
    """Delivers reports in their order.

    At most two wait: a new ``healing`` makes older ones idle talk, ``ready`` and ``broken`` follow it.
    ``say`` is given lines for the log, ``answered`` each report with the cloud's final status for it. The key
    and the address are read out of ``.env`` for each try.
    """

    def __init__(
        self,
        place: Place,
        say: Callable[[str], None],
        answered: Callable[[Message, int], None],
        first_rest: float = FIRST_REST,
    ) -> None:
        self._place, self._say, self._answered, self._first_rest = place, say, answered, first_rest
        self._waiting: deque[Message] = deque(maxlen=2)
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)

    def tell(self, message: Message) -> None:
        """Have a report delivered; returns at once."""
        with self._changed:
            if message.status == "healing":
                self._waiting.clear()
            self._waiting.append(message)
            self._changed.notify()
            if not self._thread.is_alive() and self._thread.ident is None:
                self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                message = self._waiting[0]
            status = self._deliver(message)
            with self._changed:
                if self._is_first(message):
                    self._waiting.popleft()
            if status is not None:
                self._answered(message, status)

    def _is_first(self, message: Message) -> bool:
        return bool(self._waiting) and self._waiting[0] is message

    def _deliver(self, message: Message) -> int | None:
        """Try until the cloud has taken or refused a report; None where it was given up."""
        unknown = 0
        for tried in range(MAX_TRIES):
            status, problem = self._try(message)
            if status is not None and status < 500 and status not in TRY_AGAIN:
                self._say(f"told the cloud {message.status} (attempt {message.attempt}): {status}")
                return status
            unknown += status == 401
            if tried == 0:
                self._say(f"telling the cloud {message.status} failed ({problem}); trying again")
            if unknown >= MAX_UNKNOWN or not self._rest(tried, message):
                break
        self._say(f"gave up telling the cloud {message.status}")
        return None

    def _rest(self, tried: int, message: Message) -> bool:
        """Wait before the next try; False where the report is out of date by then."""
        seconds = min(LONGEST_REST, self._first_rest * 2**tried) * random.uniform(0.5, 1.0)  # noqa: S311
        with self._changed:
            return not self._changed.wait_for(lambda: not self._is_first(message), seconds)

    def _try(self, message: Message) -> tuple[int | None, str]:
        from http.client import HTTPException  # large, and seldom needed

        try:
            status = self._post(message.body())
        except NoSettings as problem:
            return None, str(problem)
        except (OSError, HTTPException, ValueError) as problem:
            return None, type(problem).__name__
        return status, str(status)

    def _post(self, body: bytes) -> int:
        env = self._place.env()
        connection, prefix = _connection(env.get("CLOUD_URL", ""))
        key = env.get("OPENAI_API_KEY", "")
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", prefix + PATH, body, headers)
            return connection.getresponse().status
        finally:
            connection.close()


def _connection(url: str) -> tuple[HTTPConnection, str]:
    """Return a connection to the cloud, not yet open, and its path; redirects and proxies are not followed.

    Raises:
        NoSettings: this is no http or https address.
    """
    import http.client

    parts = urlsplit(url)
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    if parts.scheme not in kinds or not parts.hostname:
        raise NoSettings("CLOUD_URL in .env is no address")
    return kinds[parts.scheme](parts.hostname, parts.port, timeout=ANSWER_SECONDS), parts.path.rstrip("/")
