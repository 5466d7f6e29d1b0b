"""WebSockets without a key, or from a page of another origin (jupyter-server-proxy, CVE-2024-28179)."""

from __future__ import annotations

import socket

import pytest
from tests.security.support import PATIENCE, Cloud, status

CHAT = "/api/gateway/openai/v1/chat/completions"


def test_a_websocket_is_refused_and_an_upgrade_is_not_taken_up(cloud: Cloud) -> None:
    websocket = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGVzdA=="]
    for path in ("/api/mastra/agents", "/", CHAT):
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade", *websocket, *cloud.mine()]
        assert status(cloud.talk("\r\n".join([*lines, "", ""]).encode())) == 400
    assert cloud.engine.received == []
    lines = ["GET /api/mastra/a HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade, HTTP2-Settings"]
    lines += ["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__", *cloud.mine(), "", ""]
    answer = cloud.talk("\r\n".join(lines).encode())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert not {"upgrade", "http2-settings"} & cloud.engine.received[0].names


def handshake(cloud: Cloud, path: str, *headers: str) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{cloud.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *headers,
    ]
    with socket.create_connection(("127.0.0.1", cloud.port), PATIENCE) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        client.shutdown(socket.SHUT_WR)
        return client.recv(65536)


REALTIME = "/api/gateway/openai/v1/realtime?model=gpt-realtime"


@pytest.mark.parametrize("key", [None, "vk_x", "Bearer", "shmastra"])
def test_a_websocket_without_a_good_key_is_401_and_no_provider_is_asked(
    cloud: Cloud, key: str | None
) -> None:
    headers = [] if key is None else [f"Authorization: Bearer {key}"]
    cookie = f"Cookie: shmastra_session={cloud.ann.session}"
    assert status(handshake(cloud, REALTIME, cookie, *headers)) == 401
    assert cloud.provider.received == []


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1.evil.example", ""]
)
def test_a_page_of_another_origin_opens_none_even_with_a_key(cloud: Cloud, origin: str) -> None:
    key = f"Authorization: Bearer {cloud.ann.key}"
    assert status(handshake(cloud, REALTIME, key, f"Origin: {origin}")) == 403
    assert cloud.provider.received == []


@pytest.mark.parametrize(
    "path", ["/api/mastra/ws", "/studio", "/api/sandbox/events", "/studio/refresh-events", "/"]
)
def test_nothing_but_the_gateway_becomes_a_websocket(cloud: Cloud, path: str) -> None:
    answer = handshake(cloud, path, *cloud.mine())
    assert status(answer) == 400
    assert cloud.engine.received == []
