"""The way to sign in with the provider, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from shmastra_cloud.identity.links import hash_token
from shmastra_cloud.identity.oidc.attempt import Attempts
from shmastra_cloud.identity.oidc.checks import Checks
from shmastra_cloud.identity.oidc.config import Config
from shmastra_cloud.identity.oidc.limit import Limit
from shmastra_cloud.identity.oidc.provider import HINT_CHARACTERS, Provider
from shmastra_cloud.identity.oidc.routes import BACKCHANNEL, START, OidcParts, router
from shmastra_cloud.identity.oidc.store import ProvidedSessions
from shmastra_cloud.identity.ways import Way

if TYPE_CHECKING:
    from shmastra_cloud.database import Pool
    from shmastra_cloud.identity.users import Users
    from shmastra_cloud.secrets_at_rest import Vault
    from shmastra_cloud.settings import Settings


def oidc_way(settings: Settings, pool: Pool, vault: Vault, users: Users) -> Way:
    """Return the way through the provider that is set; nothing is asked of it yet."""
    config = Config.of(settings)
    provider, sessions = Provider(config), ProvidedSessions(pool, vault)
    parts = OidcParts(provider, sessions, users, Attempts(config, vault.fingerprint), Limit())
    return Way(
        label=f"Continue with {config.name}",
        start=START,
        router=router,
        state={"oidc": parts},
        told=(BACKCHANNEL,),
        leave=_Leaving(pool, sessions),
        background=[Checks(provider, sessions, users).run()],
        closing=[provider.aclose],
    )


class _Leaving:
    """Says where a browser goes on to after signing out here, if its session is the provider's."""

    def __init__(self, pool: Pool, sessions: ProvidedSessions) -> None:
        self._pool, self._sessions = pool, sessions

    async def __call__(self, token: str) -> str | None:
        sealed = await self._pool.fetchval(
            "select provider_secret from sessions where token_hash = $1 and source = 'oidc'",
            hash_token(token),
        )
        if sealed is None:
            return None
        secret = self._sessions.open(bytes(sealed))
        hint = None if secret is None else secret.id_token
        usable = hint is not None and len(hint) <= HINT_CHARACTERS
        return f"{START}/out" + (f"?{urlencode({'hint': hint})}" if usable else "")
