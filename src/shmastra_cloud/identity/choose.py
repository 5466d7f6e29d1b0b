"""The ways to sign in that the settings choose, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shmastra_cloud.database import Pool
    from shmastra_cloud.identity.users import Users
    from shmastra_cloud.identity.ways import Way
    from shmastra_cloud.secrets_at_rest import Vault
    from shmastra_cloud.settings import Settings


def ways(settings: Settings, pool: Pool, vault: Vault, users: Users) -> tuple[Way, ...]:
    """Return what the sign-in page offers beside one-time links; what is not chosen is not loaded."""
    if settings.sign_in == "workos":
        from shmastra_cloud.identity.workos import workos_ways

        return workos_ways(settings, vault, users)
    if settings.sign_in == "oidc":
        from shmastra_cloud.identity.oidc import oidc_way

        return (oidc_way(settings, pool, vault, users),)
    return ()


async def end_others(settings: Settings, pool: Pool) -> None:
    """End the sessions that an identity provider began who is not chosen any more: nobody asks about them."""
    await pool.execute("delete from sessions where source not in ('local', $1)", settings.sign_in)
