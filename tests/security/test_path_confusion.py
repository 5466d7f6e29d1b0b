"""Paths, hosts and headers that one part reads in another way than the next.

Starlette CVE-2026-48710: ``Host`` held a path, and what was checked was not what was routed. Next.js
CVE-2025-29927: a header of the client's said that the check had been made already.
"""

from __future__ import annotations

import pytest
from tests.security.support import Cloud, status

CHAT = "/api/gateway/openai/v1/chat/completions"
BODY = b'{"model":"m","messages":[]}'


BAD_PATHS = [
    "/../x",
    "/x/..",
    "/./x",
    "//x",
    "/x//y",
    "/%2e%2e/x",
    "/.%2E/x",
    "/x%2fy",
    "/x%2Fy",
    "/x%5cy",
    "/x\\y",
    "/..;/x",
    "/x%00",
    "/x%0d%0aset-cookie:%20a=b",
    "/x%zz",
    "/x%",
    "/x\x01",
    "/x\x7f",
    "/x\xe9",
    "/x y",
]


@pytest.mark.parametrize("path", BAD_PATHS)
@pytest.mark.parametrize("prefix", ["/api/mastra", "/api/gateway/openai/v1", "/studio", ""])
def test_a_path_that_could_be_read_in_two_ways_is_400_and_never_relayed(
    cloud: Cloud, prefix: str, path: str
) -> None:
    answer = cloud.ask(f"GET {prefix}{path}", *cloud.mine(), f"x-api-key: {cloud.ann.key}")
    assert status(answer) == 400
    assert b"set-cookie" not in answer
    assert cloud.provider.received == []
    assert cloud.engine.received == []


@pytest.mark.parametrize(
    "hosts",
    [
        b"",
        b"Host: a\r\nHost: a\r\n",
        b"Host: 127.0.0.1\r\nHost: evil.example\r\n",
        b"Host:\r\n",
        b"Host: a b\r\n",
        b"Host: a/../b\r\n",
        b"Host: user@127.0.0.1\r\n",
        b"Host : 127.0.0.1\r\n",
    ],
)
def test_a_host_that_is_missing_doubled_or_no_host_is_400(cloud: Cloud, hosts: bytes) -> None:
    cookie = f"Cookie: shmastra_session={cloud.ann.session}".encode()
    head = b"GET /api/mastra/agents HTTP/1.1\r\n" + hosts + cookie + b"\r\nConnection: close\r\n\r\n"
    assert status(cloud.talk(head)) == 400
    assert cloud.engine.received == []


LIES = [
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Port: 443",
    "X-Forwarded-Prefix: /evil",
    "Forwarded: for=6.6.6.6;host=evil.example;proto=https",
    "Via: 1.1 evil.example",
    "X-Real-IP: 6.6.6.6",
    "X-Client-IP: 6.6.6.6",
    "True-Client-IP: 6.6.6.6",
    "CF-Connecting-IP: 6.6.6.6",
    "X-Original-URL: /api/me",
    "X-Rewrite-URL: /api/me",
    "X-HTTP-Method-Override: DELETE",
    "X_Forwarded_Host: evil.example",
]


def test_forwarding_headers_that_lie_are_neither_believed_nor_passed_on(cloud: Cloud) -> None:
    signed_out = cloud.ask("GET /studio", *LIES)
    assert (status(signed_out), b"evil" in signed_out) == (302, False)
    assert status(cloud.ask("GET /api/mastra/agents", *cloud.mine(), *LIES)) == 200
    answer = cloud.ask(f"POST {CHAT}", f"x-api-key: {cloud.ann.key}", *LIES, body=BODY)
    assert status(answer) == 200
    for upstream in (cloud.engine, cloud.provider):
        [received] = upstream.received
        assert b"evil" not in received.head
        assert b"6.6.6.6" not in received.head
        assert not {"x-forwarded-proto", "x-original-url", "x-http-method-override"} & received.names


SUBREQUESTS = [
    "x-middleware-subrequest: middleware:middleware:middleware:middleware:middleware",
    "x-middleware-subrequest: src/middleware",
    "x-middleware-rewrite: /health",
    "x-middleware-next: 1",
    "x-nextjs-data: 1",
    "x-forwarded-uri: /health",
    "x-forwarded-path: /health",
    "x-original-uri: /health",
    "x-original-url: /health",
    "x-rewrite-url: /health",
    "x-override-url: /health",
    "x-authenticated-user: ann@example.com",
    "x-remote-user: ann@example.com",
    "remote-user: ann@example.com",
    "x-forwarded-user: ann@example.com",
    "x-user-id: 1",
    "x-shmastra-user: ann@example.com",
]


@pytest.mark.parametrize("header", SUBREQUESTS)
@pytest.mark.parametrize("path", ["/api/me", "/api/mastra/agents", "/studio", "/api/manage/budgets", CHAT])
def test_no_header_says_that_a_check_was_made_already(cloud: Cloud, path: str, header: str) -> None:
    assert status(cloud.ask(f"GET {path}", header)) in {302, 401}
    assert cloud.engine.received == []
    assert cloud.provider.received == []


ENCODED = [
    "/%61pi/me",
    "/api/m%65",
    "/API/me",
    "/Api/Me",
    "/api/me/",
    "/api/me;x",
    "/api/me%20",
    "/api%2fme",
    "/api/me%00",
]


@pytest.mark.parametrize("path", ENCODED)
def test_a_path_in_another_spelling_lets_nobody_past_the_session(cloud: Cloud, path: str) -> None:
    answer = cloud.ask(f"GET {path}")
    assert status(answer) in {400, 401, 404}
    assert b"example.com" not in answer


@pytest.mark.parametrize(
    "path", ["/%61pi/mastra/x", "/api/%6dastra/x", "/API/mastra/x", "/api/Mastra/x", "/api/mastra"]
)
def test_a_relayed_path_in_another_spelling_reaches_no_sandbox(cloud: Cloud, path: str) -> None:
    for headers in ([], cloud.mine()):
        assert status(cloud.ask(f"GET {path}", *headers)) in {400, 401, 404}
    assert cloud.engine.received == []


@pytest.mark.parametrize(
    "path",
    ["/api/%67ateway/openai/v1/models", "/API/gateway/openai/v1/models", "/api/gateway%2fopenai/v1/models"],
)
def test_the_gateway_is_reached_by_its_one_spelling(cloud: Cloud, path: str) -> None:
    assert status(cloud.ask(f"GET {path}", f"x-api-key: {cloud.ann.key}")) in {400, 401, 404}
    assert cloud.provider.received == []


@pytest.mark.parametrize("path", ["/%61pi/sandbox/heal", "/api/sandbox/%68eal", "/api/sandbox/heal/"])
def test_what_needs_no_origin_is_known_by_its_one_spelling(cloud: Cloud, path: str) -> None:
    cookie = f"Cookie: shmastra_session={cloud.ann.session}"
    assert status(cloud.ask(f"POST {path}", cookie, "Origin: https://evil.example", body=b"{}")) in {
        401,
        403,
        404,
    }


BAD_HOSTS = [
    "127.0.0.1/health",
    "127.0.0.1/api/me?",
    "127.0.0.1/health?x=",
    "127.0.0.1#",
    "127.0.0.1?",
    "127.0.0.1:{port}/x",
    "127.0.0.1\\@evil.example",
    "user:pass@127.0.0.1",
    "127.0.0.1:{port}:{port}",
    "127.0.0.1:99999999",
    "[::1",
    "127.0.0.1,evil.example",
]


@pytest.mark.parametrize("host", BAD_HOSTS)
@pytest.mark.parametrize("path", ["/api/me", "/studio/agents", "/api/mastra/agents"])
def test_a_host_that_holds_a_path_is_400_and_chooses_none(cloud: Cloud, path: str, host: str) -> None:
    answer = cloud.ask(f"GET {path}", *cloud.mine(), host=host.format(port=cloud.port))
    assert status(answer) in {400, 421}
    assert cloud.engine.received == []


@pytest.mark.parametrize(
    "host", ["localhost.", "127.0.0.1.", "LOCALHOST", "evil.example.", "localhost.evil.example."]
)
def test_a_trailing_dot_or_capitals_change_nobodys_rights(cloud: Cloud, host: str) -> None:
    assert status(cloud.ask("GET /api/me", host=host)) in {401, 421}
    answer = cloud.ask("GET /studio/agents", host=host)
    assert b"evil" not in answer.lower()
