"""Cookies that a neighbour tosses in, by a shared domain or port.

JupyterHub CVE-2024-28233 (cookies and scripts of a sibling domain), jupyter-server CVE-2026-44727.
"""

from __future__ import annotations

import pytest
from tests.security.support import Cloud, status


@pytest.mark.parametrize("path", ["/api/me", "/api/mastra/agents"])
def test_a_second_session_cookie_tossed_in_signs_nobody_in(cloud: Cloud, path: str) -> None:
    ann, bob = (f"shmastra_session={cloud.people[who].session}" for who in ("ann", "bob"))
    for cookies in (
        [f"Cookie: {ann}; {bob}"],
        [f"Cookie: {bob}; {ann}"],
        [f"Cookie: {ann}", f"Cookie: {bob}"],
        [f"Cookie: {ann}; shmastra_session="],
        [f"Cookie: shmastra_session=x; {ann}"],
    ):
        assert status(cloud.ask(f"GET {path}", *cookies)) == 401
    assert status(cloud.ask(f"GET {path}", f"Cookie: {ann}; x=y; {ann}")) == 200


def test_a_cookie_of_40_kb_beside_the_session_does_no_harm(cloud: Cloud) -> None:
    cookie = f"Cookie: a={'b' * 40_000}; shmastra_session={cloud.ann.session}"
    assert status(cloud.ask("GET /api/me", cookie)) == 200


TOSSED = [
    "Set-Cookie: shmastra_session=evil; Path=/",
    "Set-Cookie: shmastra_return=%2F%2Fevil.example; Path=/",
    "Set-Cookie: __Host-shmastra_session=evil; Path=/; Secure",
    "set-cookie: a=b",
    "Set-Cookie2: a=b",
]


@pytest.mark.parametrize("line", TOSSED)
@pytest.mark.parametrize("code", ["200 OK", "302 Found", "404 Not Found", "502 Bad Gateway"])
def test_neither_a_sandbox_nor_a_provider_sets_a_cookie(cloud: Cloud, code: str, line: str) -> None:
    answer = f"HTTP/1.1 {code}\r\n{line}\r\nContent-Type: text/html\r\nContent-Length: 1\r\n\r\nx"
    cloud.engine.answer = cloud.provider.answer = answer.encode()
    assert b"set-cookie" not in cloud.ask("GET /api/mastra/page", *cloud.mine()).lower()
    call = cloud.ask("GET /api/gateway/openai/v1/models", f"x-api-key: {cloud.ann.key}")
    assert b"set-cookie" not in call.lower()


@pytest.mark.parametrize(
    "spelling", ["Shmastra_Session", "shmastra_session%20", '"shmastra_session"', "$shmastra"]
)
def test_only_the_cookies_exact_name_counts(cloud: Cloud, spelling: str) -> None:
    assert status(cloud.ask("GET /api/me", f"Cookie: {spelling}={cloud.ann.session}")) == 401


def test_a_session_fixed_on_the_browser_beforehand_is_worth_nothing(cloud: Cloud) -> None:
    fixed = cloud.people["bob"].session
    answer = cloud.ask("GET /api/me", f"Cookie: shmastra_session={fixed}")
    assert status(answer) == 200
    other = cloud.start_session("bob")
    signed_in = cloud.ask(
        f"POST /login/link/{cloud.link()}", f"Origin: {cloud.url}", f"Cookie: shmastra_session={other}"
    )
    [line] = [one for one in signed_in.split(b"\r\n") if one.startswith(b"set-cookie: shmastra_session=")]
    assert other.encode() not in line
    assert b"HttpOnly" in line
    assert b"SameSite=lax" in line
    assert status(cloud.ask("GET /api/me", f"Cookie: shmastra_session={other}")) == 401
