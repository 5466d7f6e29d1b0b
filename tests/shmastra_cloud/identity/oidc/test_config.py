import pytest

from shmastra_cloud.identity.oidc import Config
from shmastra_cloud.settings import load_settings


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Config:
    for name, value in {
        "OIDC_ISSUER": "https://id.example.com/realms/team",
        "OIDC_CLIENT_ID": "cloud",
        "OIDC_CLIENT_SECRET": "hunter2",
        "OIDC_REQUIRED_CLAIM": "groups=team",
        "SHMASTRA_PUBLIC_URL": "https://cloud.example.com",
    }.items():
        monkeypatch.setenv(name, value)
    return Config.of(load_settings())


def test_a_provider_is_named_by_its_host_and_sends_browsers_back_here(config: Config) -> None:
    assert config.name == "id.example.com"
    assert config.redirect_uri == "https://cloud.example.com/login/oidc/callback"
    assert config.subject("ann") == "https://id.example.com/realms/team#ann"
    assert "hunter2" not in repr(config)


def test_what_must_be_known_of_somebody_follows_from_the_settings(config: Config) -> None:
    assert config.rechecked_claims == {"groups"}
    assert config.needed_claims == {"groups", "email", "email_verified"}
