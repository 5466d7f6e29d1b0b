"""Who asks for an admin's route from elsewhere: an admin, by his session's cookie or by a token of his."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmastra_cloud.admin.gate import Refused
from shmastra_cloud.audit import Actor
from shmastra_cloud.origins import header_map
from shmastra_cloud.peers import client_address
from shmastra_cloud.web_context import session_token

if TYPE_CHECKING:
    from uuid import UUID

    from shmastra_cloud.api_tokens import Tokens
    from shmastra_cloud.web_context import WebContext
    from shmastra_cloud.web_process import Scope

LOG_IN = "This token is unknown, has ended or was revoked. `shmastra login URL` gives another one."


class Callers:
    """Finds out who asks. Where a token is sent, no cookie counts."""

    def __init__(self, here: WebContext, tokens: Tokens) -> None:
        self._here, self._tokens = here, tokens

    async def __call__(self, scope: Scope) -> Actor:
        """Return the admin who asks.

        Raises:
            Refused: 401 for nobody who is known, 404 for whoever is no admin.
        """
        headers, settings = header_map(scope["headers"]), self._here.settings
        address = client_address(scope, settings.trusted_proxies)
        if "authorization" in headers:
            holder = await self._tokens.find(_bearer(headers["authorization"]), address)
            if holder is None:
                raise Refused(401, "bad_token", LOG_IN)
            return _admin(holder.user_id, holder.email, holder.role, address, holder.token_name)
        user = await self._here.sessions.user(session_token(headers.get("cookie"), https=settings.https))
        if user is None:
            raise Refused(401, "signed_out", "Sign in first.")
        return _admin(user.id, user.email, user.role, address)


def _bearer(value: str) -> str:
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _admin(user_id: UUID, email: str, role: str, address: str, token: str | None = None) -> Actor:
    if role != "admin":
        raise Refused(404, "not_found", "There is nothing here.")
    return Actor.of_user(user_id, email, address, token)
