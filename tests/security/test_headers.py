"""What every answer on the cloud's origin says to a browser: all routes are walked, by everybody."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from tests.security.support import Cloud, status
from tests.test_docs import routes

from shmastra_cloud.safe_headers import DEFAULTS

METHODS = {"ANY": ["GET", "POST", "DELETE"]}
WALK = sorted(
    (method, re.sub(r"\{[^}]*\}", "x", path).replace("*", "x"))
    for route in routes()
    for words in [route.partition(" ")]
    for method in METHODS.get(words[0], [words[0]])
    for path in [words[2]]
)
MORE = [
    ("GET", "/nothing"),
    ("GET", "/studio/index.html"),
    ("GET", "/studio/assets/x.js"),
    ("PUT", "/"),
    ("POST", "/studio"),
]
GATEWAY = [
    "x-content-type-options",
    "content-security-policy",
    "cross-origin-resource-policy",
    "cache-control",
]


def said(head: bytes) -> list[tuple[str, str]]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]


@pytest.mark.parametrize(("method", "path"), [*WALK, *MORE])
def test_every_answer_of_every_route_is_confined(cloud: Cloud, method: str, path: str) -> None:
    body = b"{}" if method not in {"GET", "HEAD"} else b""
    mine = [f"Cookie: shmastra_session={cloud.start_session('eve')}", f"Origin: {cloud.url}"]
    foreign = [mine[0], "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"]
    for headers in ([], mine, foreign, [*mine, f"x-api-key: {cloud.people['eve'].key}"]):
        head = cloud.head(f"{method} {path}", *headers, "Content-Type: application/json", body=body)
        found = said(head)
        names = Counter(name for name, _ in found)
        wanted = GATEWAY if path.startswith("/api/gateway/") else DEFAULTS
        assert {name: names[name] for name in wanted} == dict.fromkeys(wanted, 1), head
        assert not {
            "server",
            "x-powered-by",
            "access-control-allow-origin",
            "strict-transport-security",
        } & set(names)
        assert dict(found)["x-content-type-options"] == "nosniff"
        policy = dict(found)["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-eval" not in policy
        assert "sandbox" in policy or "frame-ancestors 'none'" in policy
        assert "script-src" not in policy or "script-src 'nonce-" in policy
        assert (
            "script-src" not in policy
            or "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
        )
        for name, value in found:
            assert name != "set-cookie" or {"HttpOnly", "SameSite=lax", "Path=/"} <= set(value.split("; "))
            assert name != "location" or value.startswith("/")
            assert "evil" not in value
        assert status(head) not in {500, 502}
