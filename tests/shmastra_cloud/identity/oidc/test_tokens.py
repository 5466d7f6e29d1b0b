from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import KeySet
from tests.doubles.oidc import (
    CLIENT_ID,
    KEY,
    OTHER,
    LyingProvider,
    half_hash,
    signed,
    signed_with_the_public_key,
    unsigned,
)

from shmastra_cloud.identity.oidc import BadToken, UnknownKey
from shmastra_cloud.identity.oidc.tokens import BACKCHANNEL, read_id_token, read_logout_token

LIAR = LyingProvider()
LIAR.issuer = "https://id.example.com"
CONFIG = LIAR.config()
KEYS = KeySet([KEY])
LONG_AGO, FAR_OFF = 1_700_000_000, 4_000_000_000


def read(token: object, nonce: str | None = "n") -> dict[str, Any]:
    return read_id_token(token, KEYS, ["RS256"], CONFIG, nonce=nonce, access_token="at")


def honest(**changed: Any) -> dict[str, Any]:
    return LIAR.claims(**{"nonce": "n", "at_hash": half_hash("at"), **changed})


def test_an_honest_token_is_read_whatever_else_its_header_says() -> None:
    assert read(signed(honest()))["sub"] == "ann"
    assert read(signed(honest(), x5t="abc", rh="0.x", x5c=["x" * 2000]))["sub"] == "ann"
    assert read(signed(honest(aud=[CLIENT_ID])))["sub"] == "ann"
    assert read(signed(honest(aud=[CLIENT_ID, "other"], azp=CLIENT_ID)))["sub"] == "ann"
    assert read(signed(honest(at_hash=...)))["sub"] == "ann"
    now = int(time.time())
    assert read(signed(honest(exp=now - 10, iat=now + 10)))["sub"] == "ann", "clocks differ a little"
    assert read(signed(honest(nonce=...)), nonce=None)["sub"] == "ann"


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"},
        {"iss": "https://id.example.com/"},
        {"iss": ["https://id.example.com"]},
        {"iss": ...},
        {"aud": "other"},
        {"aud": []},
        {"aud": ...},
        {"aud": [CLIENT_ID, "other"]},
        {"aud": [CLIENT_ID, "other"], "azp": "other"},
        {"azp": "other"},
        {"nonce": "m"},
        {"nonce": ...},
        {"nonce": None},
        {"exp": LONG_AGO},
        {"exp": ...},
        {"exp": "tomorrow"},
        {"exp": float("nan")},
        {"exp": True},
        {"iat": FAR_OFF},
        {"iat": ...},
        {"nbf": FAR_OFF},
        {"sub": ""},
        {"sub": ...},
        {"sub": 7},
        {"sub": "x" * 256},
        {"at_hash": half_hash("another")},
        {"at_hash": 7},
    ],
    ids=str,
)
def test_a_token_that_was_made_for_something_else_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(BadToken):
        read(signed(honest(**changed)))


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        signed_with_the_public_key,
        lambda claims: signed(claims, OTHER, kid="k1"),
        lambda claims: signed(claims)[:-4] + "AAAA",
        lambda claims: signed(claims, alg="PS256"),
        lambda _claims: "x",
        lambda _claims: "a.b.c",
        lambda _claims: signed(honest()) + ".x",
        lambda _claims: None,
        lambda _claims: {"token": "x"},
        lambda claims: signed({**claims, "x": "x" * 200_000}),
    ],
    ids=[
        "none",
        "public key",
        "other key",
        "signature",
        "alg",
        "x",
        "abc",
        "parts",
        "null",
        "object",
        "long",
    ],
)
def test_a_token_that_the_provider_did_not_sign_is_refused(forge: Callable[[Any], object]) -> None:
    with pytest.raises(BadToken):
        read(forge(honest()))


def test_a_key_that_is_not_known_is_told_apart() -> None:
    with pytest.raises(UnknownKey):
        read(signed(honest(), OTHER))


def logout(claims: dict[str, Any], **header: Any) -> dict[str, Any]:
    return read_logout_token(signed(claims, **header), KEYS, ["RS256"], CONFIG)


def test_a_logout_token_names_a_person_or_a_session() -> None:
    assert logout(LIAR.logout_claims(sid="s"), typ="logout+jwt")["sid"] == "s"
    assert logout(LIAR.logout_claims(sub=..., sid="s"))["sid"] == "s"
    assert logout(LIAR.logout_claims(exp=...))["sub"] == "ann"


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"},
        {"aud": "other"},
        {"iat": ...},
        {"iat": LONG_AGO},
        {"exp": LONG_AGO},
        {"jti": ...},
        {"jti": 7},
        {"nonce": "n"},
        {"events": ...},
        {"events": [BACKCHANNEL]},
        {"events": {"other": {}}},
        {"events": {BACKCHANNEL: True}},
        {"sub": ...},
        {"sub": 7},
        {"sub": "ann", "sid": ""},
    ],
    ids=str,
)
def test_what_is_no_logout_token_for_us_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(BadToken):
        logout(LIAR.logout_claims(**changed))


def test_a_token_of_another_kind_is_no_logout_token() -> None:
    with pytest.raises(BadToken):
        logout(LIAR.logout_claims(), typ="at+jwt")
    with pytest.raises(BadToken):
        logout(honest())
    with pytest.raises(BadToken):
        read_logout_token(unsigned(LIAR.logout_claims()), KEYS, ["RS256"], CONFIG)
