"""The way to sign in with the provider, put together."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request

from shmastra_cloud.identity.oidc.attempt import Attempts
from shmastra_cloud.identity.oidc.checks import Checks
from shmastra_cloud.identity.oidc.config import Config
from shmastra_cloud.identity.oidc.provider import HINT_CHARACTERS, Provider
from shmastra_cloud.identity.oidc.routes import BACKCHANNEL, START, OidcParts, router
from shmastra_cloud.identity.oidc.store import ProvidedSessions
from shmastra_cloud.identity.ways import Way

if TYPE_CHECKING:
    from shmastra_cloud.database import Pool
    from shmastra_cloud.identity.sessions import Provided
    from shmastra_cloud.identity.users import Users
    from shmastra_cloud.secrets_at_rest import Vault
    from shmastra_cloud.settings import Settings


def oidc_way(settings: Settings, pool: Pool, vault: Vault, users: Users) -> Way:
    """Return the way through the provider that is set; nothing is asked of it yet."""
    config = Config.of(settings)
    provider, sessions = Provider(config), ProvidedSessions(pool, vault)
    parts = OidcParts(provider, sessions, users, Attempts(vault))

    def bind(request: Request) -> None:
        request.state.oidc = parts

    bound = APIRouter(dependencies=[Depends(bind)])
    bound.include_router(router)
    return Way(
        label=f"Continue with {config.name}",
        start=START,
        router=bound,
        background=[Checks(provider, sessions, users).run()],
        closing=[provider.aclose],
        source="oidc",
        goodbye=partial(_goodbye, sessions),
        hooks=frozenset({BACKCHANNEL}),
    )


def _goodbye(sessions: ProvidedSessions, ended: Provided) -> str | None:
    """Return the path of ours that leads on to the provider's sign-out, with what tells it whose that is."""
    secret = sessions.open(ended.secret)
    hint = None if secret is None else secret.id_token
    usable = hint is not None and len(hint) <= HINT_CHARACTERS
    return f"{START}/out" + (f"?{urlencode({'hint': hint})}" if usable else "")
