"""What is set about an OpenID Connect provider; a part of :class:`~shmastra_cloud.settings.Settings`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

if TYPE_CHECKING:
    from typing import Self

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class OidcSettings(BaseSettings):
    """The provider, who of its people may come in, and how often it is asked again."""

    oidc_issuer: str | None = Field(None, validation_alias="OIDC_ISSUER")
    oidc_client_id: str | None = Field(None, validation_alias="OIDC_CLIENT_ID")
    oidc_client_secret: SecretStr | None = Field(None, validation_alias="OIDC_CLIENT_SECRET")
    oidc_required_claim: str | None = Field(None, validation_alias="OIDC_REQUIRED_CLAIM")
    oidc_allow_anyone: bool = Field(default=False, validation_alias="OIDC_ALLOW_ANYONE")
    oidc_admin_claim: str | None = Field(None, validation_alias="OIDC_ADMIN_CLAIM")
    oidc_email_claim: str = Field("email", validation_alias="OIDC_EMAIL_CLAIM")
    oidc_trust_email: bool = Field(default=False, validation_alias="OIDC_TRUST_EMAIL")
    oidc_name: str | None = Field(None, max_length=40, validation_alias="OIDC_NAME")
    oidc_scopes: str | None = Field(None, validation_alias="OIDC_SCOPES")
    oidc_check_seconds: int = Field(45, ge=2, le=3600, validation_alias="OIDC_CHECK_SECONDS")
    oidc_session_seconds: int = Field(3600, ge=60, le=2_592_000, validation_alias="OIDC_SESSION_SECONDS")

    @model_validator(mode="after")
    def _provider_is_whole(self) -> Self:
        """Refuse an issuer that cannot be one, claims that cannot be read, and rules that rule nothing."""
        if self.oidc_issuer is not None:
            check_issuer(self.oidc_issuer)
            self._claims_are_clear()
        elif self.oidc_client_id is None and self.oidc_client_secret is None:
            stray = sorted(
                str(field.validation_alias)
                for name, field in OidcSettings.model_fields.items()
                if name in self.model_fields_set
            )
            if stray:
                raise ValueError(
                    f"{', '.join(stray)} without a provider: set {', '.join(self.oidc_needed)} too"
                )
        return self

    def _claims_are_clear(self) -> None:
        from shmastra_cloud.identity.oidc.claims import Rule

        for name, text in (
            ("OIDC_REQUIRED_CLAIM", self.oidc_required_claim),
            ("OIDC_ADMIN_CLAIM", self.oidc_admin_claim),
        ):
            if text is not None:
                Rule.parse(text, name)
        if self.oidc_required_claim is not None and self.oidc_allow_anyone:
            raise ValueError(
                "OIDC_REQUIRED_CLAIM and OIDC_ALLOW_ANYONE=1 contradict each other: unset one of them"
            )
        if self.oidc_email_claim != "email" and not self.oidc_trust_email:
            raise ValueError(
                f"whether the address in OIDC_EMAIL_CLAIM={self.oidc_email_claim} is verified, nobody says: "
                "set OIDC_TRUST_EMAIL=1 too if nobody there can choose his own, or unset OIDC_EMAIL_CLAIM"
            )
        if self.oidc_scopes is not None and "openid" not in self.oidc_scopes.split():
            raise ValueError("OIDC_SCOPES must contain openid, such as `openid email profile`")

    @property
    def oidc_needed(self) -> dict[str, object | None]:
        """The variables that a provider cannot do without, and what they hold."""
        return {
            "OIDC_ISSUER": self.oidc_issuer,
            "OIDC_CLIENT_ID": self.oidc_client_id,
            "OIDC_CLIENT_SECRET": self.oidc_client_secret,
        }


def check_issuer(issuer: str) -> None:
    """Refuse an issuer that cannot be one.

    Raises:
        ValueError: it is no plain URL, or neither https nor on loopback.
    """
    parts = urlsplit(issuer)
    if not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc or issuer != issuer.strip():
        raise ValueError(
            "OIDC_ISSUER must be a plain URL as the provider writes it, like https://id.example.com/realms/team"
        )
    if not is_safe_url(issuer):
        raise ValueError(
            f"OIDC_ISSUER={issuer} is neither https nor on loopback: anybody on the way could sign in as "
            "anybody. Use the provider's https address"
        )


def is_safe_url(url: object) -> bool:
    """Tell whether secrets may go to a URL: under TLS, or within this machine."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
