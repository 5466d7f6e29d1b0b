from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.doubles.oidc import LyingProvider, lying_provider

from shmastra_cloud.doctor.sign_in import sign_in
from shmastra_cloud.settings import load_settings

WELL_KNOWN = "/.well-known/openid-configuration"


@pytest.fixture
def liar(monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingProvider]:
    with lying_provider() as made:
        for name, value in {
            "OIDC_ISSUER": made.issuer,
            "OIDC_CLIENT_ID": "client",
            "OIDC_CLIENT_SECRET": "hunter2",
            "OIDC_REQUIRED_CLAIM": "groups=team",
        }.items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({}, "ok", "redirect URI http://127.0.0.1:3000/login/oidc/callback"),
        ({"issuer": "https://other.example"}, "failed", "https://other.example"),
        ({"token_endpoint": None}, "failed", "token_endpoint"),
        ({"code_challenge_methods_supported": ["plain"]}, "warning", "PKCE"),
        ({"scopes_supported": ["openid", "email"]}, "warning", "profile"),
    ],
)
async def test_what_the_provider_lacks_is_named(
    liar: LyingProvider, changed: dict[str, Any], status: str, words: str
) -> None:
    good = {
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "email", "profile", "groups"],
    }
    liar.answers[WELL_KNOWN] = liar.metadata(**{**good, **changed})
    check = await sign_in(load_settings())
    assert (check.name, check.status) == ("sign_in", status)
    assert words in check.detail
    assert "hunter2" not in check.detail
    assert bool(check.fix) is (status != "ok")


async def test_a_provider_that_does_not_answer_or_has_no_keys_is_named(liar: LyingProvider) -> None:
    for path in ("/jwks", WELL_KNOWN):
        liar.answers[path] = 503
        check = await sign_in(load_settings())
        assert (check.status, "OIDC_ISSUER" in check.fix) == ("failed", True)
        assert path in check.detail


async def test_letting_everybody_in_is_said_aloud(
    liar: LyingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    liar.answers[WELL_KNOWN] = liar.metadata(
        code_challenge_methods_supported=["S256"], scopes_supported=["openid", "email", "profile"]
    )
    monkeypatch.delenv("OIDC_REQUIRED_CLAIM")
    monkeypatch.setenv("OIDC_ALLOW_ANYONE", "1")
    check = await sign_in(load_settings())
    assert (check.status, "everybody" in check.detail) == ("warning", True)
