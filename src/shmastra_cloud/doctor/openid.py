"""Whether the OpenID provider is as this cloud needs it; it is asked, and nobody is signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmastra_cloud.doctor.check import Check, failed, ok, warning

if TYPE_CHECKING:
    from shmastra_cloud.identity.oidc import Config, Metadata
    from shmastra_cloud.settings import Settings

NAME = "sign_in"


async def openid(settings: Settings) -> Check:
    """Fetch the provider's discovery document and keys, and look at what they offer."""
    from shmastra_cloud.identity.oidc import Config, Provider, ProviderAway, ProviderUnsuitable

    config = Config.of(settings)
    provider = Provider(config)
    try:
        metadata = await provider.discovery.metadata()
        await provider.discovery.keys()
    except ProviderUnsuitable as error:
        fix = "Set OIDC_ISSUER to the issuer as the provider writes it; every slash counts."
        return failed(NAME, str(error), fix)
    except ProviderAway as error:
        fix = "Can this machine reach OIDC_ISSUER? Is its certificate one that this machine trusts?"
        return failed(NAME, str(error), fix)
    finally:
        await provider.aclose()
    return _offers(config, metadata)


def _offers(config: Config, metadata: Metadata) -> Check:
    told = f"OpenID Connect, {config.issuer} (redirect URI {config.redirect_uri})"
    wanted = set(config.scopes_at(metadata.scopes).split())
    unknown = sorted(wanted - metadata.scopes) if metadata.scopes else []
    if not metadata.offers_pkce:
        fix = "PKCE is used all the same; switch S256 on at the provider where it can be."
        return warning(NAME, f"{told} does not say that it offers PKCE (S256)", fix)
    if unknown:
        fix = "Add them to the client at the provider, or take them out of OIDC_SCOPES."
        return warning(NAME, f"{told} does not list the scopes {', '.join(unknown)}", fix)
    if config.required is None and config.anyone:
        fix = "If that is not what you want, set OIDC_REQUIRED_CLAIM instead of OIDC_ALLOW_ANYONE."
        return warning(NAME, f"{told}: everybody who has an account there comes in", fix)
    return ok(NAME, told)
