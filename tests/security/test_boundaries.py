"""The walls between a browser, the cloud and a sandbox: what may cross them, and on whose word."""

from __future__ import annotations

import json
import socket
import threading

import httpx
import pytest
from tests.security.support import EVENTS, PATIENCE, Cloud, Received, chunk, status, until_closed

from shmastra_cloud.safe_headers import DEFAULTS

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
    said = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    ours = {*DEFAULTS, "content-security-policy", "cache-control"}
    assert not ({name.lower() for name in HOSTILE} & set(said)) - ours
    assert not {said[name.lower()] for name in HOSTILE if name.lower() in said} & set(HOSTILE.values())
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
