from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.doubles.oidc import KEY, OTHER, LyingProvider, lying_provider, signed

from shmastra_cloud.identity.oidc import BadToken, Provider, ProviderAway, Refused
from shmastra_cloud.identity.oidc import provider as module
from shmastra_cloud.identity.oidc.attempt import Attempt
from shmastra_cloud.identity.oidc.provider import Tokens, is_final

ATTEMPT = Attempt("the-state", "the-nonce", "v" * 64, "/workspace")


@pytest.fixture
def liar() -> Iterator[LyingProvider]:
    with lying_provider() as made:
        yield made


@pytest.fixture
async def provider(liar: LyingProvider) -> AsyncIterator[Provider]:
    made = Provider(liar.config())
    yield made
    await made.aclose()


async def test_a_browser_is_sent_with_state_nonce_and_a_challenge(provider: Provider) -> None:
    url = await provider.authorization_url(ATTEMPT)
    given = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}
    assert given.pop("code_challenge") not in ("", ATTEMPT.verifier)
    assert given == {
        "response_type": "code",
        "client_id": "client",
        "redirect_uri": "http://127.0.0.1:1/login/oidc/callback",
        "scope": "openid email profile offline_access",
        "state": "the-state",
        "nonce": "the-nonce",
        "code_challenge_method": "S256",
    }


async def test_who_signs_in_as_somebody_else_is_asked_for_a_password(provider: Provider) -> None:
    assert "prompt=login" in await provider.authorization_url(ATTEMPT, other=True)


async def test_a_code_gives_a_verified_id_token(liar: LyingProvider, provider: Provider) -> None:
    liar.tokens(signed(liar.claims(nonce="the-nonce")))
    tokens = await provider.redeem("code", ATTEMPT)
    assert (tokens.claims["sub"], tokens.refresh_token) == ("ann", "rt")


async def test_an_id_token_of_another_attempt_is_refused(liar: LyingProvider, provider: Provider) -> None:
    for claims in (liar.claims(nonce="another"), liar.claims()):
        liar.tokens(signed(claims))
        with pytest.raises(BadToken):
            await provider.redeem("code", ATTEMPT)
    liar.tokens(None)
    with pytest.raises(BadToken):
        await provider.redeem("code", ATTEMPT)


async def test_a_new_key_is_fetched_and_a_made_up_one_fetched_for_once(
    liar: LyingProvider, provider: Provider
) -> None:
    liar.tokens(signed(liar.claims(nonce="the-nonce")))
    await provider.redeem("code", ATTEMPT)
    liar.tokens(signed(liar.claims(nonce="the-nonce"), OTHER))
    for _ in range(3):
        with pytest.raises(BadToken):
            await provider.redeem("code", ATTEMPT)
    assert liar.asked.count("/jwks") == 2
    provider.discovery._refetched = float("-inf")
    liar.answers["/jwks"] = {"keys": [key.as_dict(private=False) for key in (KEY, OTHER)]}
    assert (await provider.redeem("code", ATTEMPT)).claims["sub"] == "ann"


@pytest.mark.parametrize(
    ("answer", "code", "final"),
    [
        ({"error": "invalid_grant", "error_description": "<script>"}, "invalid_grant", True),
        ({"error": "login_required"}, "login_required", True),
        ({"error": "invalid_client"}, "invalid_client", False),
        ({"error": "<b>evil</b>"}, "unknown", False),
        ({"error": 7}, "unknown", False),
        ({"error": None}, "oauth_error", False),
    ],
)
async def test_a_refusal_is_told_in_oauths_words_only(
    liar: LyingProvider, provider: Provider, answer: dict[str, Any], code: str, final: bool
) -> None:
    liar.answers["/token"] = answer
    with pytest.raises(Refused) as caught:
        await provider.refresh("rt", "ann")
    assert (caught.value.code, is_final(caught.value)) == (code, final)
    assert "script" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        500,
        429,
        302,
        b"",
        b"null",
        b"[]",
        b"<html>",
        {},
        {"access_token": 7},
        {"access_token": ""},
        b"x" * 600_000,
    ],
    ids=str,
)
async def test_what_is_no_answer_says_nothing_of_the_person(
    liar: LyingProvider, provider: Provider, answer: object
) -> None:
    liar.answers["/token"] = answer
    with pytest.raises(ProviderAway):
        await provider.refresh("rt", "ann")


async def test_a_slow_answer_is_none(
    liar: LyingProvider, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await provider.discovery.metadata()
    monkeypatch.setattr(module, "CALL_SECONDS", 0.1)
    liar.seconds = 1
    with pytest.raises(ProviderAway):
        await provider.refresh("rt", "ann")


async def test_a_refreshed_token_must_be_about_the_same_person(
    liar: LyingProvider, provider: Provider
) -> None:
    liar.tokens(signed(liar.claims(sub="bob")))
    with pytest.raises(BadToken):
        await provider.refresh("rt", "ann")
    liar.tokens(None, refresh_token=None)
    tokens = await provider.refresh("rt", "ann")
    assert (tokens.claims, tokens.refresh_token) == ({}, "rt")


async def test_userinfo_is_asked_where_the_id_token_lacks_something_and_must_be_about_him(
    liar: LyingProvider, provider: Provider
) -> None:
    tokens = Tokens("at", {"sub": "ann", "groups": ["of the token"]})
    assert await provider.claims(tokens, "ann", ["groups"]) == tokens.claims
    assert "/me" not in liar.asked
    liar.answers["/me"] = {"sub": "ann", "groups": ["of userinfo"], "email": "a@b"}
    told = await provider.claims(tokens, "ann", ["groups", "email"])
    assert (told["groups"], told["email"]) == (["of the token"], "a@b")
    for answer, error in (
        ({"sub": "bob", "email": "a@b"}, BadToken),
        ({"email": "a@b"}, BadToken),
        (401, Refused),
        (500, ProviderAway),
        (b"[]", ProviderAway),
        (b"eyJhbGciOiJub25lIn0.e30.", ProviderAway),
    ):
        liar.answers["/me"] = answer
        with pytest.raises(error):
            await provider.claims(tokens, "ann", ["email"])


async def test_who_signs_out_is_led_to_the_providers_place_for_it(liar: LyingProvider) -> None:
    for endpoint, start in (
        ("https://id.example/out", "https://id.example/out?client_id=client&post_logout_redirect_uri=http"),
        ("https://id.example/out?a=b", "https://id.example/out?a=b&client_id=client"),
        ("javascript:alert(1)", None),
        (None, None),
    ):
        liar.answers["/.well-known/openid-configuration"] = liar.metadata(end_session_endpoint=endpoint)
        provider = Provider(liar.config())
        url = await provider.sign_out_url("x" * 10_000)
        assert url is None if start is None else url is not None and url.startswith(start)
        assert "hint" not in (url or "")
        await provider.aclose()
