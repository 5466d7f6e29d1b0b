"""A caller who names another place to send the request, and the real key, to.

LiteLLM CVE-2024-6587: ``api_base`` in a body sent the provider's key to an address of the caller's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.security.support import REAL_KEY, Cloud, Upstream, status

CHAT = "/api/gateway/openai/v1/chat/completions"


@pytest.fixture
def evil() -> Iterator[Upstream]:
    here = Upstream()
    yield here
    here.close()


NAMES = [
    "api_base",
    "base_url",
    "baseURL",
    "url",
    "endpoint",
    "azure_endpoint",
    "proxy",
    "api_host",
    "callback_url",
]


@pytest.mark.parametrize("name", NAMES)
def test_an_address_in_a_body_is_the_providers_business_only(cloud: Cloud, evil: Upstream, name: str) -> None:
    address = f"http://127.0.0.1:{evil.port}/v1"
    body = json.dumps(
        {"model": "m", "messages": [], name: address, "litellm_params": {name: address}}
    ).encode()
    key = f"x-api-key: {cloud.ann.key}"
    assert status(cloud.ask(f"POST {CHAT}", key, "Content-Type: application/json", body=body)) == 200
    assert evil.received == []
    [received] = cloud.provider.received
    assert received.get("host") == f"127.0.0.1:{cloud.provider.port}"


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-Host: {evil}",
        "Forwarded: host={evil}",
        "X-Base-Url: http://{evil}/v1",
        "X-Api-Base: http://{evil}/v1",
        "Openai-Base-Url: http://{evil}/v1",
        "X-Upstream: {evil}",
        "X-Original-Url: http://{evil}/v1/models",
        "Proxy: http://{evil}",
        "X-Stainless-Base-Url: http://{evil}",
        "E2b-Sandbox-Host: {evil}",
        "Connection: close, host",
    ],
)
def test_no_header_moves_a_request(cloud: Cloud, evil: Upstream, header: str) -> None:
    said = header.format(evil=f"127.0.0.1:{evil.port}")
    assert status(cloud.ask("GET /api/gateway/openai/v1/models", f"x-api-key: {cloud.ann.key}", said)) == 200
    assert status(cloud.ask("GET /api/mastra/agents", *cloud.mine(), said)) == 200
    assert evil.received == []
    assert [len(one.received) for one in (cloud.provider, cloud.engine)] == [1, 1]


@pytest.mark.parametrize(
    "path",
    [
        "/api/gateway/http://{evil}/v1/models",
        "/api/gateway/openai/http://{evil}/v1/models",
        "/api/gateway/openai/v1/@{evil}/models",
        "/api/gateway/openai@{evil}/v1/models",
        "/api/gateway/{evil}/v1/models",
        "/api/gateway/openai/v1/models?base_url=http://{evil}&url=http://{evil}&api_base=http://{evil}",
        "/api/mastra/http://{evil}/",
        "/api/mastra/@{evil}/",
        "http://{evil}/api/gateway/openai/v1/models",
    ],
)
def test_no_path_leads_elsewhere(cloud: Cloud, evil: Upstream, path: str) -> None:
    where = path.format(evil=f"127.0.0.1:{evil.port}")
    cloud.ask(f"GET {where}", *cloud.mine(), f"x-api-key: {cloud.ann.key}")
    assert evil.received == []


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_key_stays(cloud: Cloud, evil: Upstream, code: int) -> None:
    place = f"Location: http://127.0.0.1:{evil.port}/steal"
    cloud.provider.answer = cloud.engine.answer = (
        f"HTTP/1.1 {code} Moved\r\n{place}\r\nContent-Length: 0\r\n\r\n".encode()
    )
    answer = cloud.ask("GET /api/gateway/openai/v1/models", f"x-api-key: {cloud.ann.key}")
    assert status(answer) == 502
    assert REAL_KEY.encode() not in answer
    relayed = cloud.ask("GET /api/mastra/agents", *cloud.mine())
    assert b"\r\nlocation:" not in relayed.lower()
    assert evil.received == []
