"""Every environment variable the cloud reads: typed, read once, then read-only.

The names are those that users set; ``docs/reference/environment.md`` explains each of them.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from shmastra_cloud.oidc_settings import OidcSettings
from shmastra_cloud.peers import TrustedProxies
from shmastra_cloud.sign_in_choice import SignIn, chosen_way
from shmastra_cloud.smtp_server import SmtpServer, parse_server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Settings(OidcSettings):
    """The cloud's configuration."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = Field("127.0.0.1", validation_alias="SHMASTRA_HOST")
    port: int = Field(3000, ge=1, le=65535, validation_alias="SHMASTRA_PORT")
    data: Path = Field(Path("data"), validation_alias="SHMASTRA_DATA")
    studio_setting: Path | None = Field(None, validation_alias="SHMASTRA_STUDIO")
    public_url_setting: str | None = Field(None, validation_alias="SHMASTRA_PUBLIC_URL")
    gateway_url_setting: str | None = Field(None, validation_alias="SHMASTRA_GATEWAY_URL")
    database_url: SecretStr | None = Field(None, validation_alias="DATABASE_URL")
    database_connections: int = Field(6, ge=2, le=100, validation_alias="SHMASTRA_DATABASE_CONNECTIONS")
    master_key: SecretStr | None = Field(None, validation_alias="SHMASTRA_MASTER_KEY")
    master_key_file: Path | None = Field(None, validation_alias="SHMASTRA_MASTER_KEY_FILE")
    e2b_api_key: SecretStr | None = Field(None, validation_alias="E2B_API_KEY")
    e2b_api_url: str | None = Field(None, validation_alias="E2B_API_URL")
    e2b_sandbox_url: str | None = Field(None, validation_alias="E2B_SANDBOX_URL")
    e2b_domain: str | None = Field(None, validation_alias="E2B_DOMAIN")
    engine_url: str | None = Field(None, validation_alias="SHMASTRA_ENGINE_URL")
    own_engine_key: SecretStr | None = Field(None, validation_alias="SHMASTRA_ENGINE_KEY")
    template: str = Field("shmastra", validation_alias="SHMASTRA_TEMPLATE")
    idle_seconds: int = Field(600, ge=5, validation_alias="SHMASTRA_IDLE_SECONDS")
    web_workers: int = Field(1, ge=1, le=64, validation_alias="SHMASTRA_WEB_WORKERS")
    web_number: int | None = Field(None, ge=1, le=64, validation_alias="SHMASTRA_WEB_NUMBER")
    drain_seconds: float = Field(25.0, ge=0, le=3600, validation_alias="SHMASTRA_DRAIN_SECONDS")
    drain_notice_seconds: float = Field(0.0, ge=0, le=600, validation_alias="SHMASTRA_DRAIN_NOTICE_SECONDS")
    tls_cert: Path | None = Field(None, validation_alias="SHMASTRA_TLS_CERT")
    tls_key: Path | None = Field(None, validation_alias="SHMASTRA_TLS_KEY")
    provider_seconds: float = Field(290.0, gt=0, validation_alias="SHMASTRA_PROVIDER_SECONDS")
    demo_model: str = Field("auto", pattern="^(auto|on|off)$", validation_alias="SHMASTRA_DEMO_MODEL")
    prices: str | None = Field(None, validation_alias="SHMASTRA_PRICES")
    insecure_http: bool = Field(default=False, validation_alias="SHMASTRA_INSECURE_HTTP")
    sign_in_setting: SignIn | None = Field(None, validation_alias="SHMASTRA_SIGN_IN")
    workos_api_key: SecretStr | None = Field(None, validation_alias="WORKOS_API_KEY")
    workos_client_id: str | None = Field(None, validation_alias="WORKOS_CLIENT_ID")
    workos_organization_id: str | None = Field(None, validation_alias="WORKOS_ORGANIZATION_ID")
    workos_cookie_password: SecretStr | None = Field(
        None, min_length=32, validation_alias="WORKOS_COOKIE_PASSWORD"
    )
    session_hours: float = Field(720.0, ge=0.25, le=8760, validation_alias="SHMASTRA_SESSION_HOURS")
    session_idle_hours: float = Field(168.0, ge=0.05, le=8760, validation_alias="SHMASTRA_SESSION_IDLE_HOURS")
    workos_base_url: str | None = Field(None, validation_alias="WORKOS_BASE_URL")
    workos_webhook_secret: SecretStr | None = Field(None, validation_alias="WORKOS_WEBHOOK_SECRET")
    workos_admin_roles_setting: str = Field("admin", validation_alias="SHMASTRA_WORKOS_ADMIN_ROLES")
    trusted_proxies_setting: str = Field("", validation_alias="SHMASTRA_TRUSTED_PROXIES")
    smtp_url: SecretStr | None = Field(None, validation_alias="SHMASTRA_SMTP_URL")
    mail_from: str | None = Field(None, validation_alias="SHMASTRA_MAIL_FROM")
    metrics_token: SecretStr | None = Field(None, validation_alias="SHMASTRA_METRICS_TOKEN")
    egress_allow: str = Field(
        "registry.npmjs.org,pypi.org,files.pythonhosted.org,github.com,*.githubusercontent.com",
        validation_alias="SHMASTRA_EGRESS_ALLOW",
    )

    @field_validator("trusted_proxies_setting")
    @classmethod
    def _proxies_can_be_read(cls, text: str) -> str:
        TrustedProxies.parse(text)
        return text

    @model_validator(mode="after")
    def _sign_in_is_whole(self) -> Self:
        if self.sign_in == "workos" and self.workos_base_url is not None:
            _check_url(self.workos_base_url, "WORKOS_BASE_URL")
            if not self.workos_base_url.startswith("https://") and not _is_loopback(self.workos_base_url):
                raise ValueError("WORKOS_BASE_URL must be an https address: the API key goes there")
        return self

    @model_validator(mode="after")
    def _mail_can_be_sent(self) -> Self:
        _ = self.smtp
        return self

    @model_validator(mode="after")
    def _addresses_are_safe(self) -> Self:
        """Refuse addresses under which a session or a virtual key would cross a network in the clear."""
        if (self.tls_cert is None) != (self.tls_key is None):
            lacking = "SHMASTRA_TLS_KEY" if self.tls_key is None else "SHMASTRA_TLS_CERT"
            raise ValueError(f"a certificate and its key are set together: {lacking} is missing")
        if self.tls_cert is not None and not self.https:
            raise ValueError(
                f"with SHMASTRA_TLS_CERT browsers use https, but SHMASTRA_PUBLIC_URL is {self.public_url}"
            )
        _check_url(self.public_url, "SHMASTRA_PUBLIC_URL")
        _check_url(self.gateway_url, "SHMASTRA_GATEWAY_URL")
        if self.insecure_http:
            return self
        if not self.https and not _is_loopback(self.public_url):
            raise ValueError(
                f"{self.public_url} is neither https nor on loopback, so sessions would cross the network in "
                "the clear: set SHMASTRA_PUBLIC_URL to the https address that browsers use (or, where nobody "
                "else is on this network, SHMASTRA_INSECURE_HTTP=1)"
            )
        if not self.local_engine and (
            _is_loopback(self.gateway_url) or not self.gateway_url.startswith("https://")
        ):
            raise ValueError(
                f"sandboxes at E2B cannot reach {self.gateway_url}: set SHMASTRA_PUBLIC_URL or "
                "SHMASTRA_GATEWAY_URL to an https address of this cloud, or unset E2B_API_KEY to run "
                "sandboxes on this machine"
            )
        return self

    @property
    def public_url(self) -> str:
        """The address that browsers use, without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "http" if self.tls_cert is None else "https"
        return (self.public_url_setting or f"{scheme}://{host}:{self.port}").rstrip("/")

    @property
    def https(self) -> bool:
        """Whether browsers reach the cloud under TLS."""
        return self.public_url.startswith("https://")

    @cached_property
    def trusted_proxies(self) -> TrustedProxies:
        """The proxies that are believed in what they say of a client."""
        return TrustedProxies.parse(self.trusted_proxies_setting)

    @cached_property
    def smtp(self) -> SmtpServer | None:
        """The server that mail is handed over to, if there is one.

        Raises:
            ValueError: its address, or the sender's, cannot be used.
        """
        return (
            None if self.smtp_url is None else parse_server(self.smtp_url.get_secret_value(), self.mail_from)
        )

    @cached_property
    def sign_in(self) -> SignIn:
        """The way to sign in, beside one-time links.

        Raises:
            ValueError: a provider is configured in part, or two are and nothing says which one is meant.
        """
        return chosen_way(
            self.sign_in_setting,
            {
                "workos": {
                    "WORKOS_API_KEY": self.workos_api_key,
                    "WORKOS_CLIENT_ID": self.workos_client_id,
                    "WORKOS_ORGANIZATION_ID": self.workos_organization_id,
                    "WORKOS_COOKIE_PASSWORD": self.workos_cookie_password,
                },
                "oidc": self.oidc_needed,
            },
        )

    @property
    def workos_admin_roles(self) -> frozenset[str]:
        """The slugs of the roles at WorkOS that make an admin here."""
        return frozenset(
            slug for part in self.workos_admin_roles_setting.split(",") if (slug := part.strip())
        )

    @property
    def local_engine(self) -> bool:
        """Whether sandboxes run on this machine, under ``sandboxd``."""
        return self.e2b_api_key is None

    @property
    def gateway_url(self) -> str:
        """The address that a sandbox calls the gateway and the heal route under."""
        if self.local_engine:
            return "http://127.0.0.1:4000"
        return (self.gateway_url_setting or self.public_url).rstrip("/")

    @property
    def engine_key(self) -> str | None:
        """The API key of the sandbox service: a user's own, or that of ``sandboxd`` on this machine."""
        key = self.e2b_api_key or self.own_engine_key
        return key.get_secret_value() if key else None

    @property
    def engine_api_url(self) -> str | None:
        """The control API's address, or None for the one that the SDK derives from its domain."""
        return self.e2b_api_url or (self.engine_url if self.local_engine else None)

    @property
    def engine_sandbox_url(self) -> str | None:
        """The one address of all sandboxes, or None where each has a host name."""
        return self.e2b_sandbox_url or (self.engine_url if self.local_engine else None)

    @property
    def run(self) -> Path:
        """The folder of sockets, locks and process ids."""
        return self.data / "run"

    @property
    def studio(self) -> Path:
        """The folder that holds Studio's static bundle."""
        return self.studio_setting or self.data / "studio"

    def demo_wanted(self, environ: Mapping[str, str]) -> bool:
        """Whether the demo model should answer, given which provider keys ``environ`` holds.

        Raises:
            BadConfiguration: a provider's setting is unusable.

        """
        if self.demo_model == "auto":
            from shmastra_cloud.gateway import tiers_from_env

            return not tiers_from_env(environ)
        return self.demo_model == "on"


def _check_url(url: str, name: str) -> None:
    parts = urlsplit(url)
    extra = parts.path or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in ("http", "https") or not parts.hostname or extra:
        raise ValueError(f"{name} must be like https://cloud.example.com, without a path or a password")


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK


def load_settings() -> Settings:
    """Read the process environment once.

    Raises:
        pydantic.ValidationError: a variable has a value that cannot be used.
    """
    return Settings()  # type: ignore[call-arg]  # the fields come from the environment
