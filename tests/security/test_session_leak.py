"""Sessions, tokens and keys that a proxy passes on to where they are not for.

code-server GHSA-p483-wpfp-42cj, Coder CVE-2026-55431 and CVE-2026-111927.
"""

from __future__ import annotations

import pytest
from tests.security.support import Cloud, status


def test_nothing_that_names_or_opens_anything_goes_into_a_sandbox(cloud: Cloud) -> None:
    bob = cloud.people["bob"]
    evil = [
        "Authorization: Bearer secret",
        "Proxy-Authorization: Basic secret",
        "X-Mastra-Auth-Token: secret",
        f"E2b-Sandbox-Id: {bob.sandbox_id}",
        "E2b-Sandbox-Port: 22",
        "E2b-Traffic-Access-Token: secret",
        "X-Access-Token: secret",
        f"E2B_SANDBOX_ID: {bob.sandbox_id}",
        f"X-Shmastra-User: {bob.id}",
        f"Cookie: other=secret; user={bob.id}",
    ]
    query = f"user={bob.id}&sandbox={bob.sandbox_id}&userId={bob.id}"
    assert status(cloud.ask(f"GET /api/mastra/agents?{query}", *cloud.mine(), *evil)) == 200
    [received] = cloud.engine.received
    assert [value for name, value in received.headers if name == "e2b-sandbox-id"] == [cloud.ann.sandbox_id]
    assert [value for name, value in received.headers if name == "e2b-sandbox-port"] == ["4111"]
    assert len([1 for name, _ in received.headers if name == "x-mastra-auth-token"]) == 1
    assert not {"cookie", "authorization", "proxy-authorization", "origin", "referer"} & received.names
    for secret in (b"secret", cloud.ann.session.encode(), cloud.ann.key.encode(), str(bob.id).encode()):
        assert secret not in received.head.partition(b"\r\n")[2]


@pytest.mark.parametrize(
    "named", ["e2b-sandbox-id", "e2b-sandbox-port", "x-mastra-auth-token", "host", "content-length"]
)
def test_a_connection_header_cannot_take_away_what_the_cloud_adds(cloud: Cloud, named: str) -> None:
    lines = [f"POST /api/mastra/a HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close, {named}"]
    lines += [*cloud.mine(), "Content-Length: 2", "", ""]
    assert status(cloud.talk("\r\n".join(lines).encode() + b"{}")) == 200
    [received] = cloud.engine.received
    assert received.get("e2b-sandbox-id") == cloud.ann.sandbox_id
    assert {"e2b-sandbox-port", "x-mastra-auth-token", "host"} <= received.names
    assert received.body == b"{}"


@pytest.mark.parametrize("named", ["x-api-key", "authorization", "accept-encoding", "host"])
def test_a_connection_header_cannot_take_away_the_providers_key(cloud: Cloud, named: str) -> None:
    lines = ["POST /api/gateway/openai/v1/chat/completions HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"Connection: close, {named}", f"x-api-key: {cloud.ann.key}", "Content-Length: 2", "", ""]
    assert status(cloud.talk("\r\n".join(lines).encode() + b"{}")) == 200
    [received] = cloud.provider.received
    assert (received.get("authorization") or "").startswith("Bearer sk-real")
    assert received.get("accept-encoding") == "identity"
