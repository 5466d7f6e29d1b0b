import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
import jwt
import pytest
from tests.doubles.workos import API_KEY, COOKIE_PASSWORD, ORGANIZATION, Keys, WorkOS, workos
from tests.shmastra_cloud.identity.workos.conftest import at_workos

from shmastra_cloud.identity import Device
from shmastra_cloud.identity.workos import Away, KeyRefused, Provider, Refused, WorkosError
from shmastra_cloud.identity.workos.provider import sealing_key
from shmastra_cloud.settings import Settings

CALLS: list[Callable[[Provider], Awaitable[Any]]] = [
    lambda its: its.by_code("code", "verifier", Device()),
    lambda its: its.by_email("ann@example.com", "123456", Device()),
    lambda its: its.user_with("ann@example.com"),
    lambda its: its.send_code("ann@example.com"),
    lambda its: its.roles("user_1"),
    lambda its: its.everybody(),
    lambda its: its.events(None, "2026-01-01T00:00:00.000Z"),
    lambda its: its.organization_name(),
]

ASKING = [
    call for at, call in enumerate(CALLS) if at not in (3, 6)
]  # whose answers are not looked at one by one


async def came(provider: Provider, email: str) -> Any:
    url, _, verifier = provider.authorization_url("http://127.0.0.1:3000/login/workos/callback")
    code = at_workos(url, email).partition("code=")[2].partition("&")[0]
    return await provider.by_code(code, verifier, Device())


@pytest.mark.parametrize("call", range(len(CALLS)))
async def test_errors_are_ours_and_hold_nothing_of_what_was_said(
    provider: Provider, double: WorkOS, call: int
) -> None:
    double.retry_after = "0"
    for status, error in ((429, Away), (500, Away), (503, Away), (401, KeyRefused)):
        double.fails = status
        with pytest.raises(error) as raised:
            await CALLS[call](provider)
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__
        assert API_KEY not in str(raised.value)


@pytest.mark.parametrize("status", [200, 403, 404])
@pytest.mark.parametrize(
    "rubbish", ["", "null", "[]", "<html>", '{"data": [{}]}', '{"user": {}}', '{"data": 7}']
)
async def test_an_answer_of_no_known_form_is_none(
    provider: Provider, double: WorkOS, rubbish: str, status: int
) -> None:
    """A proxy's page must not read as a list without members."""
    double.rubbish, double.fails = rubbish, status
    for call in ASKING:
        with pytest.raises(WorkosError) as raised:
            await call(provider)
        assert isinstance(raised.value, Away) or (status != 200 and rubbish.startswith("{"))


async def test_who_asks_to_wait_long_is_not_waited_for(
    provider: Provider, double: WorkOS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shmastra_cloud.identity.workos.provider.ASK_SECONDS", 0.2)
    double.fails, double.retry_after = 429, "3600"
    with pytest.raises(Away):
        await asyncio.wait_for(provider.send_code("ann@example.com"), 5)


async def test_where_nothing_listens_workos_is_away(settings: Settings) -> None:
    nowhere = Provider(settings.model_copy(update={"workos_base_url": "http://127.0.0.1:1"}))
    with pytest.raises(Away):
        await nowhere.user_with("ann@example.com")
    await nowhere.aclose()


async def test_a_client_id_that_workos_does_not_know_is_our_fault(settings: Settings) -> None:
    other = Provider(settings.model_copy(update={"workos_client_id": "client_other"}))
    with pytest.raises(KeyRefused):
        await other.by_email("ann@example.com", "123456", Device())
    with pytest.raises(Refused):
        await other.knows_client()
    await other.aclose()


async def test_a_refresh_token_counts_once(provider: Provider, double: WorkOS) -> None:
    double.add_user("ann@example.com")
    member = await came(provider, "ann@example.com")
    again = await provider.again(member.sealed)
    assert (again.id, again.session) == (member.id, member.session)
    assert again.sealed != member.sealed
    with pytest.raises(Refused):
        await provider.again(member.sealed)


async def test_a_token_that_workos_did_not_sign_is_refused(provider: Provider, double: WorkOS) -> None:
    double.add_user("ann@example.com")
    real, forger = double.keys, Keys()
    forger.kid = real.kid
    await came(provider, "ann@example.com")  # the real keys are known now
    double.keys = forger
    with pytest.raises(Refused) as raised:
        await came(provider, "ann@example.com")
    double.keys = real
    assert raised.value.code == "invalid_jwt"


@pytest.mark.parametrize("rubbish", ["<html>", "[]", '{"keys": []}'])
async def test_keys_of_no_known_form_are_none(settings: Settings, rubbish: str) -> None:
    with workos() as fresh:  # whose keys nobody remembers
        fresh.add_user("ann@example.com")
        fresh.keys_rubbish = rubbish
        provider = Provider(settings.model_copy(update={"workos_base_url": fresh.url}))
        with pytest.raises(WorkosError):
            await came(provider, "ann@example.com")
        await provider.aclose()


@pytest.mark.parametrize("missing", ["sid", "auth_time"])
async def test_a_token_of_another_kind_is_refused(
    provider: Provider, double: WorkOS, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    double.add_user("ann@example.com")
    encode = jwt.encode

    def without(claims: dict[str, Any], *rest: Any) -> str:
        return encode({name: value for name, value in claims.items() if name != missing}, *rest)

    monkeypatch.setattr("tests.doubles.workos.jwt.encode", without)
    with pytest.raises(Refused):
        await came(provider, "ann@example.com")


async def test_memberships_that_the_filter_let_through_are_looked_at_again(
    provider: Provider, double: WorkOS
) -> None:
    ours = {"organization_id": ORGANIZATION, "status": "active", "role": {"slug": "member"}}
    memberships = [
        {**ours, "user_id": "user_1", "organization_id": f"{ORGANIZATION}2"},
        {**ours, "user_id": "user_1", "status": "pending"},
        {**ours, "user_id": "user_2", "roles": [{"slug": "admin"}]},
    ]
    double.rubbish = json.dumps({"data": memberships})
    assert await provider.roles("user_1") is None
    assert await provider.roles("user_2") == {"member", "admin"}
    assert await provider.everybody() == {"user_2": {"member", "admin"}}


async def test_secrets_reach_no_log(
    provider: Provider, double: WorkOS, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    double.add_user("ann@example.com")
    member = await came(provider, "ann@example.com")
    await provider.send_code("ann@example.com")
    double.fails, double.retry_after = 500, "0"
    with suppress(WorkosError):
        await provider.again(member.sealed)
    (_, code), text = double.mails[0], caplog.text
    assert text  # the HTTP client does say what it asks for
    for secret in (API_KEY, COOKIE_PASSWORD, member.sealed, code, *double.refresh):
        assert secret not in text


def test_the_key_that_seals_follows_from_the_password_and_what_it_is_for() -> None:
    assert sealing_key("password", b"a") == sealing_key("password", b"a")
    assert (
        len({sealing_key("password", b"a"), sealing_key("password", b"b"), sealing_key("other", b"a")}) == 3
    )


async def test_the_way_there_and_back_is_as_workos_wants_it(provider: Provider, double: WorkOS) -> None:
    url, state, _ = provider.authorization_url("https://cloud.example.com/login/workos/callback")
    asked = httpx.URL(url).params
    assert asked["state"] == state
    assert (asked["provider"], asked["code_challenge_method"]) == ("authkit", "S256")
    left = httpx.URL(provider.logout_url("session_1", "https://cloud.example.com/"))
    assert dict(left.params) == {"session_id": "session_1", "return_to": "https://cloud.example.com/"}
    assert str(left).startswith(double.url)
