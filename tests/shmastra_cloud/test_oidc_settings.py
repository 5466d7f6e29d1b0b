from __future__ import annotations

import pytest
from pydantic import ValidationError

from shmastra_cloud.oidc_settings import is_safe_url
from shmastra_cloud.settings import load_settings

WHOLE = {
    "OIDC_ISSUER": "https://id.example.com",
    "OIDC_CLIENT_ID": "cloud",
    "OIDC_CLIENT_SECRET": "hunter2",
    "OIDC_REQUIRED_CLAIM": "groups=team",
}


def use(monkeypatch: pytest.MonkeyPatch, **changed: str) -> None:
    for name, value in {**WHOLE, **changed}.items():
        if value:
            monkeypatch.setenv(name, value)


def test_a_provider_that_is_configured_is_the_way_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().sign_in == "local"
    use(monkeypatch)
    found = load_settings()
    assert found.sign_in == "oidc"
    assert "hunter2" not in repr(found)
    monkeypatch.setenv("SHMASTRA_SIGN_IN", "local")
    assert load_settings().sign_in == "local"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"OIDC_CLIENT_SECRET": ""}, "OIDC_CLIENT_SECRET is missing"),
        ({"OIDC_ISSUER": "", "OIDC_CLIENT_ID": ""}, "OIDC_ISSUER, OIDC_CLIENT_ID are missing"),
        (
            {"OIDC_ISSUER": "", "OIDC_CLIENT_ID": "", "OIDC_CLIENT_SECRET": ""},
            "OIDC_REQUIRED_CLAIM without a provider: set OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET",
        ),
        ({"OIDC_ISSUER": "http://id.example.com"}, "neither https nor on loopback"),
        ({"OIDC_ISSUER": "https://id.example.com?x"}, "must be a plain URL"),
        ({"OIDC_ISSUER": "https://id.example.com#x"}, "must be a plain URL"),
        ({"OIDC_ISSUER": "id.example.com"}, "must be a plain URL"),
        ({"OIDC_REQUIRED_CLAIM": "team"}, "OIDC_REQUIRED_CLAIM must be like groups=team"),
        ({"OIDC_ADMIN_CLAIM": "=x"}, "OIDC_ADMIN_CLAIM must be like groups=team"),
        ({"OIDC_ALLOW_ANYONE": "1"}, "contradict each other"),
        ({"OIDC_EMAIL_CLAIM": "upn"}, "set OIDC_TRUST_EMAIL=1 too"),
        ({"OIDC_SCOPES": "email groups"}, "must contain openid"),
        ({"OIDC_CHECK_SECONDS": "1"}, "OIDC_CHECK_SECONDS"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_and_named(
    changed: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, **changed)
    with pytest.raises(ValidationError, match=words):
        load_settings()


def test_saying_oidc_without_a_provider_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_SIGN_IN", "oidc")
    with pytest.raises(ValidationError, match="SHMASTRA_SIGN_IN is oidc, but OIDC_ISSUER, OIDC_CLIENT_ID"):
        load_settings()


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://id.example.com/x?y=z", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8080", True),
        ("http://localhost.evil.example", False),
        ("http://id.example.com", False),
        ("https://user:pass@id.example.com", False),
        ("javascript:alert(1)", False),
        ("https://[", False),
        ("https://", False),
        (None, False),
        (7, False),
    ],
)
def test_secrets_go_under_tls_or_stay_on_this_machine(url: object, safe: bool) -> None:
    assert is_safe_url(url) is safe
