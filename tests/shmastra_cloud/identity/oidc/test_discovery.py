from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import OctKey, RSAKey
from tests.doubles.oidc import KEY, OTHER, LyingProvider, lying_provider

from shmastra_cloud.identity.oidc import Metadata, ProviderAway, ProviderUnsuitable
from shmastra_cloud.identity.oidc import discovery as module
from shmastra_cloud.identity.oidc.discovery import Discovery, key_set
from shmastra_cloud.identity.oidc.wire import Wire

WELL_KNOWN = "/.well-known/openid-configuration"


@pytest.fixture
def liar() -> Iterator[LyingProvider]:
    with lying_provider() as made:
        yield made


@pytest.fixture
async def discovery(liar: LyingProvider) -> AsyncIterator[Discovery]:
    wire = Wire(liar.config())
    yield Discovery(liar.config(), wire)
    await wire.aclose()


async def test_what_was_fetched_is_kept_and_fetched_again_after_its_time(
    liar: LyingProvider, discovery: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        assert (await discovery.metadata()).token_endpoint == f"{liar.issuer}/token"
        assert len((await discovery.keys()).keys) == 1
    assert liar.asked == [WELL_KNOWN, "/jwks"]
    monkeypatch.setattr(module, "CACHE_SECONDS", -1)
    await discovery.keys()
    assert liar.asked[2:] == [WELL_KNOWN, "/jwks"]


async def test_keys_are_fetched_again_for_an_unknown_one_but_not_for_each(
    liar: LyingProvider, discovery: Discovery
) -> None:
    await discovery.keys()
    liar.answers["/jwks"] = {"keys": [OTHER.as_dict(private=False)]}
    for _ in range(5):
        assert [key.kid for key in (await discovery.keys(fresh=True)).keys] == ["k2"]
    assert liar.asked.count("/jwks") == 2


async def test_while_the_provider_is_away_the_metadata_of_before_is_used_for_a_day(
    liar: LyingProvider, discovery: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    await discovery.metadata()
    monkeypatch.setattr(module, "CACHE_SECONDS", -1)
    liar.answers = {}
    for _ in range(3):
        assert (await discovery.metadata()).token_endpoint
    assert liar.asked.count(WELL_KNOWN) == 2, "it is not asked for each"
    monkeypatch.setattr(module, "REFETCH_SECONDS", -1)
    monkeypatch.setattr(module, "STALE_SECONDS", -1)
    with pytest.raises(ProviderAway):
        await discovery.metadata()


async def test_a_provider_that_failed_is_not_asked_again_at_once(
    liar: LyingProvider, discovery: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer, error in ((503, ProviderAway), (liar.metadata(issuer="https://evil"), ProviderUnsuitable)):
        liar.answers[WELL_KNOWN], liar.asked, discovery._failed = answer, [], {}
        for _ in range(3):
            with pytest.raises(error):
                await discovery.metadata()
        assert liar.asked == [WELL_KNOWN]
    monkeypatch.setattr(module, "REFETCH_SECONDS", -1)
    liar.answers[WELL_KNOWN] = liar.metadata()
    assert await discovery.metadata()


@pytest.mark.parametrize("answer", [404, 302, b"", b"[]", b"{", b"[" * 100_000, b"x" * 600_000])
async def test_what_is_no_metadata_is_no_answer(
    liar: LyingProvider, discovery: Discovery, answer: object
) -> None:
    liar.answers[WELL_KNOWN] = answer
    with pytest.raises(ProviderAway):
        await discovery.metadata()


async def test_a_provider_that_does_not_answer_in_time_is_away(
    liar: LyingProvider, discovery: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CALL_SECONDS", 0.1)
    liar.seconds = 1
    with pytest.raises(ProviderAway, match="TimeoutError"):
        await discovery.metadata()


def document(**changed: Any) -> dict[str, Any]:
    liar = LyingProvider()
    liar.issuer = "https://id.example.com"
    return liar.metadata(**changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://id.example.com/"},
        {"issuer": "https://ID.example.com"},
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": "http://id.example.com/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
        {"jwks_uri": "https://user:pass@id.example.com/jwks"},
        {"id_token_signing_alg_values_supported": ["none", "HS256"]},
    ],
)
def test_metadata_that_would_be_dangerous_is_refused(changed: dict[str, Any]) -> None:
    Metadata.parse(document(), "https://id.example.com")
    with pytest.raises(ProviderUnsuitable):
        Metadata.parse(document(**changed), "https://id.example.com")


def test_only_algorithms_of_which_the_provider_alone_has_the_key_are_taken() -> None:
    assert Metadata.parse(document(), "https://id.example.com").algorithms == ("RS256",)
    told = document(id_token_signing_alg_values_supported=["HS512", "ES256", "PS256", "none"])
    assert Metadata.parse(told, "https://id.example.com").algorithms == ("PS256", "ES256")


def test_a_client_says_who_it_is_in_the_way_that_is_offered() -> None:
    for methods, wanted in (
        (None, "client_secret_basic"),
        (["client_secret_post"], "client_secret_post"),
        (["client_secret_post", "client_secret_basic"], "client_secret_basic"),
    ):
        told = document(token_endpoint_auth_methods_supported=methods)
        assert Metadata.parse(told, "https://id.example.com").authenticate_by == wanted


def test_keys_that_must_not_verify_anything_are_left_out() -> None:
    with pytest.warns(SecurityWarning):
        weak = RSAKey.generate_key(1024, {"kid": "weak"}).as_dict(private=False)
    shared = OctKey.generate_key(256, {"kid": "oct"}).as_dict()
    packing = {**OTHER.as_dict(private=False), "use": "enc"}
    rubbish: list[Any] = [None, {}, {"kty": "RSA"}, {"kty": "PQ"}, {"kty": "RSA", "n": "!", "e": 1}]
    document = {"keys": [weak, shared, packing, *rubbish, KEY.as_dict(private=False)]}
    assert [key.kid for key in key_set(document).keys] == ["k1"]
    for none in ({"keys": [weak]}, {"keys": {}}, {}):
        with pytest.raises(ProviderAway):
            key_set(none)
