"""One client for many users must not keep what an upstream of one of them sets.

Gradio CVE-2026-48545: a shared client's cookie jar carried one user's cookies into another's requests.
"""

from __future__ import annotations

import pytest
from tests.security.support import Cloud, status

SETS = (
    b"HTTP/1.1 200 OK\r\nSet-Cookie: jar=left-behind; Path=/\r\n"
    b"Set-Cookie: __Host-x=left-behind; Path=/; Secure\r\n"
    b'WWW-Authenticate: Basic realm="x"\r\nAuthentication-Info: nextnonce=left-behind\r\nAlt-Svc: h3=":1"\r\n'
    b'ETag: "left-behind"\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}'
)
TELLING = {"cookie", "cookie2", "authorization", "if-none-match", "if-modified-since", "proxy-authorization"}


@pytest.mark.parametrize("code", [b"200 OK", b"401 Unauthorized", b"500 Internal Server Error"])
def test_what_one_users_sandbox_sets_goes_into_nobodys(cloud: Cloud, code: bytes) -> None:
    cloud.engine.answer = SETS.replace(b"200 OK", code)
    for who in ("ann", "bob", "ann"):
        cloud.ask("GET /api/mastra/agents", *cloud.mine(who))
    assert len(cloud.engine.received) == 3
    for received in cloud.engine.received:
        assert not TELLING & received.names
        assert b"left-behind" not in received.head


def test_what_a_provider_sets_for_one_user_goes_out_for_nobody(cloud: Cloud) -> None:
    cloud.provider.answer = SETS
    for who in ("ann", "bob", "ann"):
        key = f"x-api-key: {cloud.people[who].key}"
        assert status(cloud.ask("GET /api/gateway/openai/v1/models", key)) == 200
    for received in cloud.provider.received:
        assert not (TELLING - {"authorization"}) & received.names  # the real key is there
        assert b"left-behind" not in received.head


def test_connections_that_are_kept_carry_nothing_of_who_came_before(cloud: Cloud) -> None:
    lines = []
    for who in ("ann", "bob", "ann", "bob"):
        cookie = f"Cookie: shmastra_session={cloud.people[who].session}; extra={who}"
        mine = f"GET /api/mastra/{who} HTTP/1.1\r\nHost: 127.0.0.1\r\n{cookie}\r\nX-Mine: {who}"
        lines.append(f"{mine}\r\n{'Connection: close' if len(lines) == 3 else 'X: y'}\r\n\r\n")
    assert cloud.talk("".join(lines).encode()).count(b"HTTP/1.1 200") == 4
    for received in cloud.engine.received:
        who = received.head.split()[1].decode().rpartition("/")[2]
        assert received.get("x-mine") == who
        assert received.get("e2b-sandbox-id") == cloud.people[who].sandbox_id
        assert "cookie" not in received.names
