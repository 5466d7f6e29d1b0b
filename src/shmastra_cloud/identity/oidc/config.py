"""The provider as it is set, ready to be used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shmastra_cloud.identity.oidc.claims import Rule

if TYPE_CHECKING:
    from shmastra_cloud.settings import Settings

CALLBACK = "/login/oidc/callback"
DEFAULT_SCOPES = ("openid", "email", "profile")
OFFLINE = "offline_access"


@dataclass(frozen=True)
class Config:
    """One client at one issuer.

    ``required`` None and ``anyone`` False: only who is a user here already, by his verified email or the
    provider's id, may come in.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    public_url: str
    name: str
    required: Rule | None = None
    admin: Rule | None = None
    anyone: bool = False
    email_claim: str = "email"
    trust_email: bool = False
    scopes: str | None = None
    check_seconds: float = 45
    session_seconds: float = 3600
    longest_seconds: float = 30 * 86_400

    @classmethod
    def of(cls, settings: Settings) -> Config:
        """Take the settings of a provider that is configured."""
        assert settings.oidc_issuer is not None  # noqa: S101 -- `wants_oidc` says so, and partial sets are refused
        assert settings.oidc_client_secret is not None  # noqa: S101 -- the same
        return cls(
            issuer=settings.oidc_issuer,
            client_id=settings.oidc_client_id or "",
            client_secret=settings.oidc_client_secret.get_secret_value(),
            public_url=settings.public_url,
            name=settings.oidc_name or urlsplit(settings.oidc_issuer).hostname or "OpenID Connect",
            required=_rule(settings.oidc_required_claim),
            admin=_rule(settings.oidc_admin_claim),
            anyone=settings.oidc_allow_anyone,
            email_claim=settings.oidc_email_claim,
            trust_email=settings.oidc_trust_email,
            scopes=settings.oidc_scopes,
            check_seconds=settings.oidc_check_seconds,
            session_seconds=settings.oidc_session_seconds,
            longest_seconds=settings.session_hours * 3600,
        )

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends browsers back to."""
        return f"{self.public_url}{CALLBACK}"

    @property
    def rechecked_claims(self) -> frozenset[str]:
        """The claims that a running session depends on."""
        return frozenset().union(*(rule.names for rule in (self.required, self.admin) if rule is not None))

    @property
    def needed_claims(self) -> frozenset[str]:
        """The claims that decide who comes in and as what."""
        verified = set() if self.trust_email else {"email_verified"}
        return self.rechecked_claims | {self.email_claim} | verified

    def scopes_at(self, offered: frozenset[str]) -> str:
        """Return what is asked for: as set, else who somebody is, and a lasting grant if it is offered."""
        if self.scopes is not None:
            return self.scopes
        return " ".join((*DEFAULT_SCOPES, *({OFFLINE} & offered)))

    def subject(self, sub: str) -> str:
        """Return somebody's lasting id; an issuer has no ``#``, so no two of them read the same."""
        return f"{self.issuer}#{sub}"


def _rule(text: str | None) -> Rule | None:
    return None if text is None else Rule.parse(text)
