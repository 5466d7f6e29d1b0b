"""The ways to the admin's routes: each finds out who asks, and says so in the request's state as ``actor``.

The routes are the same behind all of them; what may be asked of the cloud's machine only, they look at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmastra_cloud.admin.peers import PEER
from shmastra_cloud.audit import Actor, this_user

if TYPE_CHECKING:
    from shmastra_cloud.web_process import Asgi, Receive, Scope, Send

SOCKET = "socket"


class AtSocket:
    """The admin's socket: who asks is the user of its peer (:class:`~shmastra_cloud.admin.PeerProtocol`)."""

    def __init__(self, app: Asgi) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        scope["state"]["actor"] = Actor.of_uid(scope["state"][PEER], SOCKET)
        await self._app(scope, receive, send)


class InProcess:
    """The command line itself, where no cloud runs: who asks is the user of this process."""

    def __init__(self, app: Asgi) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        scope.setdefault("state", {})["actor"] = this_user()
        await self._app(scope, receive, send)
