"""The admin's routes for admins elsewhere, under ``/api/manage``: who asks is found out before all else.

A request that runs for long (a program in a sandbox, a log that is followed) ends when whoever asked for it
is no admin any more, is shut out or has signed out.
"""

from __future__ import annotations

import asyncio
import logging
import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from shmastra_cloud.database import TROUBLE
from shmastra_cloud.rim import SmallBodies, send_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from shmastra_cloud.audit import Actor
    from shmastra_cloud.web_process import Asgi, Receive, Scope, Send

    Known = Callable[[Scope], Awaitable[Actor]]

log = logging.getLogger(__name__)

PREFIX = "/api/manage"
VERSION = version("shmastra-cloud").encode()  # so that a command line of another one can say so
BODY_BYTES = 4 << 20  # more than a command's arguments may be
LOOK_AGAIN_SECONDS = 60.0
RETRY_SECONDS = 1.0
GRACE_SECONDS = 60.0  # for which something goes on while nobody can tell whether it may
_STREAMED = re.compile(r"/sandboxes/[^/]+/exec/[^/]+/stdin")


class Refused(Exception):
    """Whoever asks may not; the answer is the message."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code = status, code


class ManageGate:
    """Lets admins through to the admin's routes, without their prefix; ``known`` says who asks.

    ``known`` raises :class:`Refused` for whoever may not ask.
    """

    def __init__(self, app: Asgi, known: Known) -> None:
        self._app, self._known = app, known
        self._bounded = SmallBodies(app, BODY_BYTES)
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Have who asks found out again for everything that runs: sessions, users or tokens have changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        changed = self._changed
        try:
            actor = await self._known(scope)
        except Refused as refusal:
            return await _refuse(send, refusal)
        except TROUBLE as error:
            return await _refuse(send, _away(error))
        path = scope["path"].removeprefix(PREFIX)
        inner = {
            **scope,
            "path": path,
            "raw_path": scope["raw_path"].removeprefix(PREFIX.encode()),
            "state": {**scope.get("state", {}), "actor": actor},
        }
        app = self._app if _STREAMED.fullmatch(path) else self._bounded
        answer = _Answer(send)
        call = asyncio.ensure_future(app(inner, receive, answer))
        ended = await self._while_allowed(scope, call, changed)
        if ended is not None:
            log.info("a request of an admin was ended: who asked may not any more")
            if not answer.begun:
                await _refuse(send, ended)
        return None

    async def _while_allowed(
        self, scope: Scope, call: asyncio.Future[None], changed: asyncio.Event
    ) -> Refused | None:
        """Let an answer go on as long as whoever asked for it still may; else return why not."""
        away = 0.0
        try:
            while not call.done():
                await _first(call, changed, LOOK_AGAIN_SECONDS if not away else RETRY_SECONDS)
                changed = self._changed
                if call.done():
                    break
                try:
                    await self._known(scope)
                    away = 0.0
                except Refused as refusal:
                    return refusal
                except TROUBLE as error:
                    away += RETRY_SECONDS
                    if away > GRACE_SECONDS:
                        return _away(error)
            call.result()
            return None
        finally:
            call.cancel()
            await asyncio.wait({call})


class _Answer:
    """Sends, says which version this is, and remembers whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        self.begun = True
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), (b"x-shmastra-version", VERSION)]
        await self._send(message)


async def _first(call: asyncio.Future[None], changed: asyncio.Event, seconds: float) -> None:
    """Wait until an answer is complete or something has changed, but not for ever."""
    told = asyncio.ensure_future(changed.wait())
    waited: set[asyncio.Future[Any]] = {call, told}
    try:
        await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()


async def _refuse(send: Send, refusal: Refused) -> None:
    await send_json(send, refusal.status, {"error": str(refusal), "code": refusal.code}, close=True)


def _away(error: BaseException) -> Refused:
    log.warning("the database does not answer (%s)", type(error).__name__)
    return Refused(503, "database_away", "The database does not answer. Try again in a moment.")
