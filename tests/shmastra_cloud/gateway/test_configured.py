import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.shmastra_cloud.gateway.worlds import MINE, Says, Scripted, openai_by

from httprelay import Timeouts
from shmastra_cloud.gateway.configured import allowed, further, timeouts
from shmastra_cloud.gateway.errors import BadConfiguration

KNOWN = {"openai", "vllm"}


def test_providers_are_named_with_their_address_and_the_variable_of_their_key() -> None:
    value = """
        acme = https://llm.acme.io/v1 ACME_KEY;
        lab=http://10.0.0.5:8000/v1
        old-box=https://old.acme.io/v1 without-stream-options OLD_KEY;
    """
    acme, lab, old = further({"SHMASTRA_PROVIDERS": value})
    assert (acme.name, acme.url, acme.variable) == ("acme", "https://llm.acme.io/v1", "ACME_KEY")
    assert (acme.key_optional, acme.asks_usage) == (False, True)
    assert (lab.name, lab.variable, lab.key_optional) == ("lab", "", True)
    assert (old.name, old.variable, old.asks_usage) == ("old-box", "OLD_KEY", False)
    assert further({}) == further({"SHMASTRA_PROVIDERS": " ; \n"}) == ()


@pytest.mark.parametrize(
    "value",
    [
        "acme",
        "acme=",
        "=https://x/v1",
        "Acme=https://x/v1",
        "a_b=https://x/v1",
        "-a=https://x/v1",
        "a" * 33 + "=https://x/v1",
        "openai=https://x/v1",
        "groq=https://x/v1",
        "gemini=https://x/v1",
        "catalog=https://x/v1",
        "google-generative-ai=https://x/v1",
        "acme=https://x/v1; acme=https://y/v1",
        "acme=https://x/v1 sk-secret-1234",
        "acme=https://x/v1 A_KEY B_KEY",
        "acme=https://x/v1 DATABASE_URL",
        "acme=https://x/v1 SHMASTRA_MASTER_KEY",
        "acme=https://x/v1 E2B_API_KEY",
        "acme=https://x/v1 WORKOS_COOKIE_PASSWORD",
        ";".join(f"a{number}=https://x/v1" for number in range(51)),
    ],
)
def test_what_names_no_provider_is_refused_by_the_settings_name_and_without_what_may_be_a_key(
    value: str,
) -> None:
    with pytest.raises(BadConfiguration, match="SHMASTRA_PROVIDERS") as caught:
        further({"SHMASTRA_PROVIDERS": value})
    assert "sk-secret" not in str(caught.value)


def test_time_outs_are_seconds_to_connect_to_the_first_byte_and_between_pieces() -> None:
    found = timeouts({"SHMASTRA_PROVIDER_TIMEOUTS": "openai=5/600/300; vllm = 0.5/900/900"}, KNOWN)
    assert found == {"openai": Timeouts(5, 600, 300), "vllm": Timeouts(0.5, 900, 900)}


@pytest.mark.parametrize(
    "value",
    [
        "nobody=1/2/3",
        "openai",
        "openai=1/2",
        "openai=1/2/3/4",
        "openai=1/2/x",
        "openai=0/2/3",
        "openai=1/nan/3",
        "openai=1/2/1e9",
        "openai=1/-2/3",
    ],
)
def test_other_time_outs_are_refused(value: str) -> None:
    with pytest.raises(BadConfiguration, match="SHMASTRA_PROVIDER_TIMEOUTS"):
        timeouts({"SHMASTRA_PROVIDER_TIMEOUTS": value}, KNOWN)


def test_routes_are_allowed_by_provider() -> None:
    value = "openai: POST /batches; openai: GET /files/*\nvllm: POST /v2/rerank"
    found = allowed({"SHMASTRA_GATEWAY_ALLOW": value}, KNOWN)
    assert {name: [route.method for route in routes] for name, routes in found.items()} == {
        "openai": ["POST", "GET"],
        "vllm": ["POST"],
    }


async def test_what_an_admin_allowed_is_relayed_with_a_body_or_without() -> None:
    made = {"/v1/files": b'{"id": "f", "object": "file"}', "/v1/batches": b'{"id": "b", "object": "batch"}'}
    provider = Scripted(lambda asked: Says(body=made.get(asked.path, b"{}")))
    allow = (
        "openai: POST /files; openai: POST /batches; openai: POST /batches/*/cancel; openai: DELETE /files/*"
    )
    async with openai_by(provider, "sk-a", SHMASTRA_GATEWAY_ALLOW=allow) as world:
        batches = f"{world.url}/openai/v1/batches"
        foreign = await world.ask("openai/v1/batches", {"input_file_id": "f"})
        assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "not_yours")
        file = {"file": ("x.jsonl", b"{}")}
        await world.http.post(f"{world.url}/openai/v1/files", headers=MINE, files=file)
        assert (await world.ask("openai/v1/batches", {"input_file_id": "f"})).status_code == 200
        assert (await world.http.post(f"{batches}/other/cancel", headers=MINE)).status_code == 403
        for method, path in (("POST", "batches/b/cancel"), ("DELETE", "files/f")):
            url = f"{world.url}/openai/v1/{path}"
            assert (await world.http.request(method, url, headers=MINE)).status_code == 200
        assert (await world.ask("openai/v1/files")).status_code == 403
        bare = await world.http.post(f"{world.url}/openai/v1/responses", headers=MINE)
        assert bare.status_code == 400
    assert [(asked.method, asked.path) for asked in provider.asked] == [
        ("POST", "/v1/files"),
        ("POST", "/v1/batches"),
        ("POST", "/v1/batches/b/cancel"),
        ("DELETE", "/v1/files/f"),
    ]
    assert {asked.key for asked in provider.asked} == {"sk-a"}


@pytest.mark.parametrize(
    "value",
    [
        "nobody: GET /x",
        "openai GET /x",
        "openai: /x",
        "openai: GET",
        "openai: GET x",
        "openai: get /x",
        "openai: PUT /x",
        "openai: GET /",
        "openai: GET /a//b",
        "openai: GET /a/**",
        "openai: GET /a*",
        "openai: GET /a?b=c",
        "openai: GET /%61",
    ],
)
def test_what_names_no_route_is_refused(value: str) -> None:
    with pytest.raises(BadConfiguration, match="SHMASTRA_GATEWAY_ALLOW"):
        allowed({"SHMASTRA_GATEWAY_ALLOW": value}, KNOWN)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(value: str) -> None:
    for read in (
        lambda: further({"SHMASTRA_PROVIDERS": value}),
        lambda: timeouts({"SHMASTRA_PROVIDER_TIMEOUTS": value}, KNOWN),
        lambda: allowed({"SHMASTRA_GATEWAY_ALLOW": value}, KNOWN),
    ):
        with contextlib.suppress(BadConfiguration):
            read()
