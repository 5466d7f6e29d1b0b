"""A name of somebody else's that leads to a service on this machine: the web process, sandboxd, sockets."""

from __future__ import annotations

import pytest
from tests.security.support import Cloud, status

CHAT = "/api/gateway/openai/v1/chat/completions"


@pytest.mark.parametrize("path", ["/", "/workspace", "/api/me", "/api/mastra/agents", CHAT])
def test_a_host_that_lies_is_421_and_never_relayed(cloud: Cloud, path: str) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example"):
        answer = cloud.ask(f"GET {path}", *cloud.mine(), f"x-api-key: {cloud.ann.key}", host=host)
        assert status(answer) == 421
        assert b"SHMASTRA_PUBLIC_URL" in answer
    assert cloud.engine.received == []
    assert cloud.provider.received == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:3000", "LOCALHOST:80", "10.1.2.3"])
def test_an_address_or_the_clouds_own_name_is_a_host(cloud: Cloud, host: str) -> None:
    assert status(cloud.ask("GET /api/me", *cloud.mine(), host=host)) == 200
