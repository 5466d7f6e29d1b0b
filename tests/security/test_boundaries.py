"""The walls between a browser, the cloud and a sandbox: what may cross them, and on whose word."""

from __future__ import annotations

import json
import socket
import threading
from urllib.parse import quote, urljoin, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.security.support import EVENTS, PATIENCE, Cloud, Received, chunk, status, until_closed

from shmastra_cloud.returns import safe_return

HOSTILE = {
    "Set-Cookie": "shmastra_session=evil; Path=/",
    "Set-Cookie2": "a=b",
    "Service-Worker-Allowed": "/",
    "Clear-Site-Data": '"*"',
    "Content-Security-Policy": "default-src *",
    "Access-Control-Allow-Origin": "https://evil.example",
    "Access-Control-Allow-Credentials": "true",
    "Refresh": "0; url=https://evil.example",
    "Location": "https://evil.example",
    "Content-Location": "https://evil.example",
    "Link": "<https://evil.example/x.css>; rel=preload",
    "Strict-Transport-Security": "max-age=0",
    "Public-Key-Pins": "x",
    "Report-To": "{}",
    "NEL": "{}",
    "Reporting-Endpoints": 'a="https://evil.example"',
    "X-Accel-Redirect": "/etc/passwd",
    "X-Sendfile": "/etc/passwd",
    "Cache-Control": "public, s-maxage=31536000",
    "CDN-Cache-Control": "public",
    "Surrogate-Control": "max-age=1",
    "Vary": "evil",
    "Alt-Svc": 'h3="evil.example:443"',
    "WWW-Authenticate": "Basic",
    "Proxy-Authenticate": "Basic",
    "X-Frame-Options": "ALLOWALL",
    "Cross-Origin-Opener-Policy": "unsafe-none",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Permissions-Policy": "camera=*",
    "SourceMap": "https://evil.example",
    "Origin-Agent-Cluster": "?0",
    "Timing-Allow-Origin": "*",
    "Accept-CH": "Sec-CH-UA-Model",
    "Server": "evil",
}


def _answer(kind: str, body: bytes, code: str = "200 OK", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {code}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@pytest.mark.parametrize("code", ["200 OK", "302 Found", "401 Unauthorized", "500 Internal Server Error"])
def test_nothing_a_sandbox_says_about_the_origin_reaches_the_browser(cloud: Cloud, code: str) -> None:
    cloud.engine.answer = _answer("text/html", b"<script>1</script>", code, **HOSTILE)
    answer = cloud.ask("GET /api/mastra/page", *cloud.mine())
    head = answer.partition(b"\r\n\r\n")[0].decode()
    names = {line.partition(":")[0] for line in head.split("\r\n")[1:]}
    ours = {"content-security-policy", "cache-control", "cross-origin-resource-policy"}
    assert not ({name.lower() for name in HOSTILE} & names) - ours
    assert "evil" not in head
    assert "s-maxage" not in head


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml"])
def test_a_document_of_a_sandbox_opened_directly_is_confined(cloud: Cloud, kind: str) -> None:
    cloud.engine.answer = _answer(kind, b"<script>top.location='https://evil.example'</script>")
    with httpx.Client(base_url=cloud.url) as browser:
        cookies = {"cookie": f"shmastra_session={cloud.ann.session}", "sec-fetch-mode": "navigate"}
        answer = browser.get("/api/mastra/page", headers=cookies)
    policy = answer.headers["content-security-policy"].split("; ")
    assert "sandbox" in policy  # without allow-scripts and allow-same-origin
    assert "default-src 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "private" in answer.headers["cache-control"]


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


@pytest.mark.parametrize(
    ("path", "wanted", "place"),
    [
        ("/api/me", 401, None),
        ("/api/sandbox/status", 401, None),
        ("/api/sandbox/events", 401, None),
        ("/api/mastra/agents", 401, None),
        ("/studio/refresh-events", 401, None),
        ("/workspace", 302, "/"),
        ("/studio", 302, "/"),
        ("/studio/agents/x", 302, "/"),
    ],
)
@pytest.mark.parametrize("cookie", [None, "", "x", "x" * 129, "\xe9", "' or 1=1 --", "%00"])
def test_without_a_session_an_api_path_is_401_and_a_page_302(
    cloud: Cloud, path: str, wanted: int, place: str | None, cookie: str | None
) -> None:
    headers = [] if cookie is None else [f"Cookie: shmastra_session={cookie}"]
    answer = cloud.ask(f"GET {path}", *headers)
    assert status(answer) == wanted
    if place is None:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "signed_out"
    else:
        assert f"location: {place}\r\n".encode() in answer
    assert cloud.engine.received == []


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


CHANGES = [
    ("POST", "/logout"),
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


@given(st.one_of(st.text(max_size=60), st.from_regex(r"[/\\]{1,3}[a-z.:@%\\/?#\t\n]{0,30}", fullmatch=True)))
@example("//evil.example")
@example("/\\evil.example")
@example("/studio//evil.example")
@example("/studio/../../evil")
@example("/studio/%2e%2e/x")
@example("/studio@evil.example")
@example("/studio\n")
@example("/studio?x=//evil.example")
@example("javascript:alert(1)")
@example("https://evil.example/studio")
def test_where_a_visitor_is_sent_after_starting_is_always_here(wanted: str) -> None:
    here = "https://cloud.example"
    place = safe_return(wanted)
    parts = urlsplit(urljoin(here, place))
    assert (parts.scheme, parts.netloc) == ("https", "cloud.example")
    assert parts.path.split("/")[1] in {"studio", "workspace", "manage", "usage"}
    assert not set(place) & set("\\\r\n\t<>\"' ")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.text(max_size=40))
@example(wanted="https://evil.example")
@example(wanted="//evil.example")
@example(wanted="/studio\r\nset-cookie: a=b")
def test_return_to_never_leads_away_over_the_wire(cloud: Cloud, wanted: str) -> None:
    path = f"/workspace?returnTo={quote(wanted.encode('utf-8', 'surrogatepass'), safe='')}"
    answer = cloud.ask(f"GET {path}", f"Cookie: shmastra_session={cloud.ann.session}")
    head = answer.partition(b"\r\n\r\n")[0]
    assert status(answer) == 302
    assert b"location: /studio" in head or b"location: /workspace" in head or b"location: /manage" in head
    assert b"set-cookie" not in head


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"status":"\\u0000"}', b'{"status":"ready","error":"\\ud800"}', b"\xff" * 10]
)
def test_a_healers_rubbish_is_a_clear_refusal(cloud: Cloud, body: bytes) -> None:
    answer = cloud.ask(
        "POST /api/sandbox/heal", f"Authorization: Bearer {cloud.ann.key}", "Content-Type: application/json",
        body=body or b" ",
    )  # fmt: skip
    assert status(answer) in {400, 409, 422}


def test_a_broken_stream_ends_with_an_error_that_studio_shows(cloud: Cloud) -> None:
    begun = b'data: {"type":"start","runId":"run-1","from":"AGENT"}\n\n'

    def break_off(connection: socket.socket, _received: Received) -> None:
        connection.sendall(EVENTS + chunk(begun) + chunk(b'data: {"type":"text-delta","payl'))
        connection.close()

    cloud.engine.answer = break_off
    answer = cloud.ask("POST /api/mastra/agents/a/stream", *cloud.mine(), body=b'{"messages":[]}')
    assert answer.endswith(b"0\r\n\r\n")
    with httpx.Client() as client, client.stream(
        "POST", f"{cloud.url}/api/mastra/agents/a/stream", headers=_as_page(cloud), json={}
    ) as stream:  # fmt: skip
        events = [line.removeprefix("data: ") for line in stream.iter_lines() if line]
    assert [json.loads(event)["type"] for event in events[:-1]] == ["start", "error"]
    error = json.loads(events[1])
    assert error["runId"] == "run-1"
    assert isinstance(error["payload"]["error"], str)
    assert events[-1] == "[DONE]"


@pytest.mark.parametrize("kind", [b"application/json", b"text/plain"])
def test_a_broken_answer_that_is_no_stream_is_cut(cloud: Cloud, kind: bytes) -> None:
    def break_off(connection: socket.socket, _received: Received) -> None:
        connection.sendall(EVENTS.replace(b"text/event-stream", kind) + chunk(b'{"runId":"a",'))
        connection.close()

    cloud.engine.answer = break_off
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{cloud.url}/api/mastra/a", headers=_as_page(cloud))


def test_a_browser_that_goes_away_closes_the_sandboxs_stream(cloud: Cloud) -> None:
    started = threading.Event()

    def hold(connection: socket.socket, _received: Received) -> None:
        connection.sendall(EVENTS + chunk(b"data: 1\n\n"))
        started.set()
        until_closed(connection)

    cloud.engine.answer = hold
    lines = ["POST /api/mastra/a/stream HTTP/1.1", "Host: 127.0.0.1", *cloud.mine(), "Content-Length: 2"]
    with socket.create_connection(("127.0.0.1", cloud.port), PATIENCE) as client:
        client.sendall("\r\n".join([*lines, "", "{}"]).encode())
        assert started.wait(PATIENCE)
        assert b"200 OK" in client.recv(65536)
        assert not cloud.engine.closed.is_set()
    assert cloud.engine.closed.wait(5)


def test_a_sandboxs_socket_serves_the_gateway_and_the_heal_route_only(cloud: Cloud) -> None:
    path = str(cloud.data / "run/sandbox.sock")
    mine = {"cookie": f"shmastra_session={cloud.ann.session}", "origin": cloud.url}
    transport = httpx.HTTPTransport(uds=path)
    with httpx.Client(transport=transport, base_url="http://127.0.0.1:4000") as sandbox:
        key = {"authorization": f"Bearer {cloud.ann.key}"}
        assert sandbox.get("/api/gateway/catalog", headers=key).status_code == 200
        for closed in ("/", "/workspace", "/studio", "/api/me", "/api/mastra/agents", "/manage", "/users"):
            assert sandbox.get(closed, headers=mine).status_code == 404
        for wrong in ({}, {"authorization": "Bearer vk_x"}, mine):
            heal = sandbox.post("/api/sandbox/heal", json={"status": "ready"}, headers=wrong)
            assert heal.status_code == 401
    assert cloud.engine.received == []


def _as_page(cloud: Cloud) -> dict[str, str]:
    return {"cookie": f"shmastra_session={cloud.ann.session}", "origin": cloud.url}


@pytest.mark.parametrize("framing", ["Content-Length: 9999999", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", ["/api/sandbox/heal", "/api/sandbox/reset", "/login/link/x"])
def test_a_body_that_no_route_has_a_use_for_is_413_before_it_has_come(
    cloud: Cloud, path: str, framing: str
) -> None:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", framing, *cloud.mine(), "", ""]
    piece = b"x" * 100_000
    body = chunk(piece) if "chunked" in framing else piece
    with socket.create_connection(("127.0.0.1", cloud.port), PATIENCE) as client:
        client.sendall("\r\n".join(lines).encode() + body)
        assert status(client.recv(65536)) == 413
        assert client.recv(65536).startswith((b"{", b""))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"confirm": 1}', b'{"confirm": "somebody@else"}'])
def test_a_reset_without_the_right_words_is_refused_in_our_own_format(cloud: Cloud, body: bytes) -> None:
    kind = "Content-Type: application/json"
    answer = cloud.ask("POST /api/sandbox/reset", *cloud.mine(), kind, body=body or b" ")
    assert status(answer) == 400
    assert {"error", "code"} <= set(json.loads(answer.partition(b"\r\n\r\n")[2]))
