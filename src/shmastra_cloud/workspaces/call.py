"""One request into a sandbox: what of it can be sent again, and what is understood of the answer."""

from __future__ import annotations

import json
import re
from collections import deque
from typing import TYPE_CHECKING, Any

from httprelay import ConnectFailed, RelayError, Revoked, Stopping, UpstreamTimeout

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from httprelay import Ended

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

KEPT_BYTES = 1024 * 1024
SERVICE_STATUS = 502
SERVICE_BYTES = 64 * 1024
_RUN_ID = re.compile(rb'"runId"\s*:\s*"([A-Za-z0-9_.:-]{1,100})"')


class NotRunning(RelayError):
    """The service says that the sandbox does not run, so nothing has reached it."""


class Call:
    """Stands between the server and the relay: its ``receive`` keeps the body, its ``send`` reads a 502.

    The sandbox service answers 502 on its own account where a sandbox is not running; a 502 of
    the sandbox's own passes. Streams of Mastra's name their run, without which Studio ignores what ends them.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._kept: list[Message] | None = []
        self._again: deque[Message] = deque()
        self._size = 0
        self._held: list[Message] = []
        self._run_id: str | None = None

    async def receive(self) -> Message:
        """Give the next piece of the request, or of its repetition."""
        if self._again:
            return self._again.popleft()
        message = await self._receive()
        if self._kept is not None and message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._kept.append(message)
            if self._size > KEPT_BYTES:
                self._kept = None
        return message

    def rewind(self) -> bool:
        """Get ready to send the request again; False where too much of it had been sent to keep."""
        if self._kept is None:
            return False
        self._again, self._held = deque(self._kept), []
        return True

    async def send(self, message: Message) -> None:
        """Pass the answer on, once it is known not to be the service's.

        Raises:
            NotRunning: the sandbox is not running.
            ConnectFailed: it is, but its dev server does not listen.
        """
        if message["type"] == "http.response.start" and message["status"] == SERVICE_STATUS:
            self._held = [message]
        elif self._held:
            self._held.append(message)
            await self._decide(last=not message.get("more_body", False))
        else:
            self._kept = None
            await self._send(message)

    async def _decide(self, *, last: bool) -> None:
        body = b"".join(message.get("body", b"") for message in self._held)
        if not last and len(body) <= SERVICE_BYTES:
            return
        text = body.lower()
        if last and b"sandbox" in text and b"not found" in text:
            raise NotRunning("the sandbox does not run")
        if last and b"port is not open" in text:
            raise ConnectFailed("the dev server does not listen")
        held, self._held = self._held, []
        for message in held:
            await self._send(message)

    def chunk(self, data: bytes) -> None:
        """Learn a stream's run from the first event that names it."""
        if self._run_id is None:
            found = _RUN_ID.search(data)
            self._run_id = found[1].decode() if found else None

    def end(self, ended: Ended) -> None:
        """Do nothing: nobody is billed for it here."""

    def last_event(self, error: RelayError) -> bytes | None:
        """Return the events that make Studio show why a stream ended; None where it would not show them."""
        if self._run_id is None:
            return b"" if isinstance(error, Revoked) else None
        why = "The sandbox stopped while it answered"
        if isinstance(error, UpstreamTimeout):
            why = "The sandbox has said nothing for too long"
        elif isinstance(error, Stopping):
            why = "The cloud was restarted while the sandbox answered"
        text = f"{why}. What came so far is kept; /workspace shows how the sandbox is."
        if isinstance(error, Revoked):
            text = "You have been signed out, so the answer ends here."
        chunk = {"type": "error", "runId": self._run_id, "from": "AGENT", "payload": {"error": text}}
        return b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n"
