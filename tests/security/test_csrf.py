"""Requests that a page of another origin makes a browser send: changes, reads, and signing in.

JupyterHub CVE-2026-40864: ``Sec-Fetch-Mode: no-cors`` was taken for a sign of the same origin.
"""

from __future__ import annotations

import pytest
from tests.security.support import Cloud, status

CHANGES = [
    ("POST", "/logout"),
    ("POST", "/logout?everywhere=1"),
    ("POST", "/sessions/00000000-0000-4000-8000-000000000000/end"),
    ("PUT", "/api/manage/budgets/organization"),
    ("POST", "/login/link/abc"),
    ("POST", "/api/sandbox/retry"),
    ("POST", "/api/sandbox/restart"),
    ("POST", "/api/sandbox/reset"),
    ("POST", "/api/mastra/agents/a/stream"),
    ("PUT", "/api/mastra/a"),
    ("PATCH", "/api/mastra/a"),
    ("DELETE", "/api/mastra/memory/threads/1"),
]


FOREIGN = [
    [],
    ["Origin: null"],
    ["Origin: "],
    ["Origin: https://evil.example"],
    ["Origin: http://127.0.0.1"],
    ["Origin: https://{here}"],
    ["Origin: http://{here}.evil.example"],
    ["Origin: http://{here}/"],
    ["Origin: HTTP://{here}"],
    ["Origin: https://evil.example", "Origin: http://{here}"],
    ["Origin: http://{here}", "Origin: https://evil.example"],
    ["Origin: https://evil.example", "Sec-Fetch-Site: same-origin"],
    ["Sec-Fetch-Site: same-site"],
    ["Sec-Fetch-Site: cross-site"],
    ["Sec-Fetch-Site: none"],
    ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty"],
    ["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"],
    ["Sec-Fetch-Mode: no-cors"],
    ["Sec-Fetch-Mode: same-origin"],
    ["Origin: http://{here}", "Sec-Fetch-Site: cross-site"],
    ["Origin: http://{here}", "Sec-Fetch-Site: same-site"],
    ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin"],
    ["Referer: http://{here}/workspace"],
    ["X-Requested-With: XMLHttpRequest"],
]


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize("proof", FOREIGN, ids=repr)
def test_a_change_without_proof_of_this_origin_is_refused(
    cloud: Cloud, method: str, path: str, proof: list[str]
) -> None:
    headers = [header.format(here=f"127.0.0.1:{cloud.port}") for header in proof]
    cookie = f"Cookie: shmastra_session={cloud.ann.session}"
    kind = "Content-Type: application/x-www-form-urlencoded"
    answer = cloud.ask(f"{method} {path}", cookie, kind, *headers, body=b"confirm=ann@example.com")
    assert status(answer) == 403
    assert b"cross_origin" in answer
    assert cloud.engine.received == []
    assert status(cloud.ask("GET /api/me", cookie)) == 200


@pytest.mark.parametrize("path", ["/api/me", "/api/mastra/agents", "/api/sandbox/events"])
@pytest.mark.parametrize(
    "proof",
    [
        ["Sec-Fetch-Site: same-site"],
        ["Sec-Fetch-Site: cross-site"],
        ["Origin: https://evil.example"],
        ["Origin: http://127.0.0.1:1"],
        ["Origin: null"],
    ],
    ids=repr,
)
def test_a_page_of_another_origin_reads_nothing_and_opens_no_stream(
    cloud: Cloud, path: str, proof: list[str]
) -> None:
    cookie = f"Cookie: shmastra_session={cloud.ann.session}"
    assert status(cloud.ask(f"GET {path}", cookie, "Accept: text/event-stream", *proof)) == 403
    assert cloud.engine.received == []


def test_no_answer_shares_itself_with_another_origin(cloud: Cloud) -> None:
    for line in ("OPTIONS /api/me", "OPTIONS /api/mastra/a", "OPTIONS /api/gateway/openai/v1/models"):
        cors = ["Origin: https://evil.example", "Access-Control-Request-Method: POST"]
        answer = cloud.ask(line, f"Cookie: shmastra_session={cloud.ann.session}", *cors)
        assert b"access-control-" not in answer.lower()


@pytest.mark.parametrize("proof", FOREIGN, ids=repr)
def test_nobody_is_signed_in_by_another_origins_page(cloud: Cloud, proof: list[str]) -> None:
    """Login CSRF: a link of the attacker's own, posted from his page, would give the victim his workspace."""
    token = cloud.link("bob")
    headers = [header.format(here=f"127.0.0.1:{cloud.port}") for header in proof]
    answer = cloud.ask(f"POST /login/link/{token}", *headers, "Content-Type: text/plain", body=b"x")
    assert status(answer) == 403
    assert b"set-cookie" not in answer
    assert status(cloud.ask(f"GET /login/link/{token}")) == 200, "it was used up"


@pytest.mark.parametrize("path", ["/logout", "/login/link/abc", "/api/sandbox/restart", "/sessions/1/end"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_no_change_is_made_by_a_method_that_promises_none(cloud: Cloud, method: str, path: str) -> None:
    cloud.ask(f"{method} {path}", f"Cookie: shmastra_session={cloud.ann.session}")
    assert status(cloud.ask("GET /api/me", f"Cookie: shmastra_session={cloud.ann.session}")) == 200
    assert cloud.engine.received == []
