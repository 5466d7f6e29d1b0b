"""Whether people can sign in: the identity provider accepts what it is configured with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmastra_cloud.doctor.check import Check, failed, ok, warning
from shmastra_cloud.doctor.openid import NAME, openid

if TYPE_CHECKING:
    from shmastra_cloud.settings import Settings


async def sign_in(settings: Settings) -> Check:
    """Ask the identity provider, if one is chosen."""
    if settings.sign_in == "workos":
        return await _workos(settings)
    if settings.sign_in == "oidc":
        return await openid(settings)
    return ok(NAME, "one-time links")


async def _workos(settings: Settings) -> Check:
    from shmastra_cloud.identity.workos import Away, KeyRefused, Provider, Refused

    provider = Provider(settings)
    try:
        name = await provider.organization_name()
        await provider.knows_client()
    except KeyRefused:
        fix = (
            "Copy WORKOS_API_KEY and WORKOS_CLIENT_ID of one environment from WorkOS's dashboard (API Keys)."
        )
        return failed(NAME, "WorkOS refuses the API key", fix)
    except Away as error:
        return failed(
            NAME, str(error), "Can this machine reach WORKOS_BASE_URL? Is https://status.workos.com well?"
        )
    except Refused:
        fix = "Copy WORKOS_ORGANIZATION_ID and WORKOS_CLIENT_ID from the environment that the key is of."
        return failed(NAME, "WorkOS does not know the organization, or the client id", fix)
    finally:
        await provider.aclose()
    told = f"WorkOS, organization {name} ({provider.organization})"
    if settings.workos_webhook_secret is None:
        fix = f"Add a webhook to {settings.public_url}/webhooks/workos and set WORKOS_WEBHOOK_SECRET."
        return warning(NAME, f"{told}; without a webhook, who is removed is out within a minute", fix)
    return ok(NAME, told)
