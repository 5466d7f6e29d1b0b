"""Who asks for an admin's route from elsewhere: an admin signed in, by his session's cookie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmastra_cloud.admin.gate import Refused
from shmastra_cloud.audit import Actor
from shmastra_cloud.origins import header_map
from shmastra_cloud.peers import client_address
from shmastra_cloud.web_context import session_token

if TYPE_CHECKING:
    from shmastra_cloud.identity import User
    from shmastra_cloud.web_context import WebContext
    from shmastra_cloud.web_process import Scope


class Callers:
    """Finds out who asks."""

    def __init__(self, here: WebContext) -> None:
        self._here = here

    async def __call__(self, scope: Scope) -> Actor:
        """Return the admin who asks.

        Raises:
            Refused: 401 for nobody who is known, 404 for whoever is no admin.
        """
        settings = self._here.settings
        cookies = header_map(scope["headers"]).get("cookie")
        user = await self._here.sessions.user(session_token(cookies, https=settings.https))
        if user is None:
            raise Refused(401, "signed_out", "Sign in first.")
        return self._admin(scope, user, None)

    def _admin(self, scope: Scope, user: User, token: str | None) -> Actor:
        if user.role != "admin":
            raise Refused(404, "not_found", "There is nothing here.")
        address = client_address(scope, self._here.settings.trusted_proxies)
        return Actor.of_user(user.id, user.email, address, token)
