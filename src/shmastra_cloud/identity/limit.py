"""Refuses whoever fails to sign in too often, by whatever way, at the cost of a look at a counter."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from shmastra_cloud.database import TROUBLE
from shmastra_cloud.identity.errors import TooManyAttempts
from shmastra_cloud.pages import page
from shmastra_cloud.peers import client_address

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from shmastra_cloud.web_context import WebContext
    from shmastra_cloud.web_process import Asgi, Receive, Scope, Send

log = logging.getLogger(__name__)

SIGN_IN = "/login/"
NO_WAY_IN = (404, 405, 413)  # nothing was tried


def _has_failed(status: int) -> bool:
    return 400 <= status < 500 and status not in NO_WAY_IN


class SignInLimit:
    """Answers 429 on each route to sign in by, once too many attempts were refused there."""

    def __init__(self, app: Asgi, here: WebContext) -> None:
        self._app, self._here = app, here

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http" or not scope["path"].startswith(SIGN_IN):
            await self._app(scope, receive, send)
            return
        address = client_address(scope, self._here.settings.trusted_proxies)

        async def counting(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and _has_failed(message["status"]):
                await self._failed(address)
            await send(message)

        try:
            await self._here.attempts.check(address)
        except TooManyAttempts as refused:
            answer = page("too_many.html", status=429, seconds=refused.seconds)
            answer.headers["retry-after"] = str(refused.seconds)
            await answer(scope, receive, send)
            return
        except TROUBLE as error:  # whatever is asked needs the database too, and says so
            log.warning("attempts to sign in cannot be looked up (%s)", type(error).__name__)
        await self._app(scope, receive, counting)

    async def _failed(self, address: str) -> None:
        try:
            await self._here.attempts.failed(address)
        except TROUBLE as error:
            log.warning("an attempt to sign in could not be counted (%s)", type(error).__name__)
