"""Requests that could be read in two ways, never end, or claim to be from somebody else."""

from __future__ import annotations

import socket
import time

import pytest
from tests.security.support import PATIENCE, Cloud, status

CHAT = "/api/gateway/openai/v1/chat/completions"
BODY = b'{"model":"m","messages":[]}'


@pytest.mark.parametrize(
    "query", ["?x=%0d%0aset-cookie:%20a=b", "?a=%00", "?../..//", "?%2e%2e%2f", "?q=\\\\evil.example"]
)
def test_a_query_goes_on_as_it_came_and_splits_nothing(cloud: Cloud, query: str) -> None:
    answer = cloud.ask(f"GET /api/mastra/agents{query}", *cloud.mine())
    assert status(answer) == 200
    assert b"set-cookie" not in answer
    [received] = cloud.engine.received
    assert received.head.split(b"\r\n")[0] == f"GET /api/mastra/agents{query} HTTP/1.1".encode()


@pytest.mark.parametrize("query", ["?a=\x01", "?a=\x7f", "?a=\xff", "?a= b"])
def test_a_query_with_raw_control_characters_is_400(cloud: Cloud, query: str) -> None:
    assert status(cloud.ask(f"GET /api/mastra/agents{query}", *cloud.mine())) == 400
    assert cloud.engine.received == []


@pytest.mark.parametrize("path", ["/", "/api/me", "/api/mastra/agents", CHAT])
@pytest.mark.parametrize(
    "header",
    [
        b"X: " + b"y" * 1_000_000,
        b"Cookie: " + b"a=b; " * 200_000,
        b"\r\n".join(b"X-%d: y" % number for number in range(101)),
        b"X-Long-" + b"n" * 70_000 + b": y",
    ],
    ids=["one of 1 MB", "a cookie of 1 MB", "101 lines", "a long name"],
)
def test_too_much_of_a_head_is_431(cloud: Cloud, path: str, header: bytes) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode() + header + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", cloud.port), PATIENCE) as client:
        try:
            client.sendall(head)
            answer = client.recv(65536)
        except ConnectionError:
            answer = b""  # the kernel may drop the answer when the rest of the head is not read
    assert not answer or status(answer) == 431
    assert cloud.engine.received == []
    assert cloud.provider.received == []


def _framed(*headers: str) -> bytes:
    lines = [f"POST {CHAT} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


@pytest.mark.parametrize(
    "framing",
    [
        ["Content-Length: 27", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 27"],
        ["Content-Length: 27", "Content-Length: 27"],
        ["Content-Length: 27", "Content-Length: 28"],
        ["Content-Length: 27, 27"],
        ["Content-Length: +27"],
        ["Content-Length: 0x1b"],
        ["Content-Length: -1"],
        ["Content-Length: 99999999999999999999999"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: identity, chunked"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: \x0bchunked"],
        ["Transfer-Encoding : chunked"],
        ["X: a\r\n b", "Content-Length: 27"],
        ["X: a\rTransfer-Encoding: chunked", "Content-Length: 27"],
        ["X: a\nTransfer-Encoding: chunked", "Content-Length: 27"],
        ["X: \x00", "Content-Length: 27"],
        ["X y: z", "Content-Length: 27"],
        [" X: y", "Content-Length: 27"],
        [": y", "Content-Length: 27"],
    ],
    ids=repr,
)
def test_framing_that_could_be_read_in_two_ways_is_400(cloud: Cloud, framing: list[str]) -> None:
    smuggled = BODY + b"GET /api/me HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    answer = cloud.talk(_framed(f"x-api-key: {cloud.ann.key}", *framing) + smuggled)
    assert status(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1
    assert cloud.provider.received == []


BAD_CHUNKS = {
    "no hex": b"zz\r\n",
    "negative": b"-5\r\nhello\r\n",
    "too many digits": b"f" * 17 + b"\r\n",
    "bare line feed": b"5\nhello\n0\n\n",
    "no end of chunk": b"5\r\nhelloX\r\n0\r\n\r\n",
    "truncated": b"ff\r\nhello",
    "never ended": b"5\r\nhello\r\n",
    "space in the size": b"5 5\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_a_bad_or_truncated_chunk_never_completes_a_request_upstream(cloud: Cloud, chunks: bytes) -> None:
    framing = "Transfer-Encoding: chunked"
    gateway = cloud.talk(_framed(f"x-api-key: {cloud.ann.key}", framing) + chunks, half=True)
    head = _framed(framing, *cloud.mine()).replace(CHAT.encode(), b"/api/mastra/agents/a/stream")
    relayed = cloud.talk(head + chunks, half=True)
    for answer in (gateway, relayed):
        assert not answer or status(answer) == 400
    assert cloud.provider.received == []
    assert not any(received.whole for received in cloud.engine.received)


def test_a_body_shorter_than_its_length_never_completes_a_request_upstream(cloud: Cloud) -> None:
    head = _framed("Content-Length: 100", *cloud.mine()).replace(CHAT.encode(), b"/api/mastra/a")
    assert cloud.talk(head + b"short", half=True) == b""
    cloud.talk(_framed("Content-Length: 100", f"x-api-key: {cloud.ann.key}") + b"{", half=True)
    assert not any(received.whole for received in cloud.engine.received)
    assert cloud.provider.received == []


def test_chunks_with_extensions_and_trailers_are_relayed_without_either(cloud: Cloud) -> None:
    head = _framed("Transfer-Encoding: chunked", "Trailer: X-Late", *cloud.mine())
    head = head.replace(CHAT.encode(), b"/api/mastra/a")
    chunks = b"5;ext=1\r\nhello\r\n0\r\nX-Late: 1\r\nAuthorization: x\r\n\r\n"
    assert status(cloud.talk(head + chunks)) == 200
    [received] = [one for one in cloud.engine.received if one.whole]  # one of before may come late
    assert received.body == b"5\r\nhello\r\n0\r\n\r\n"
    assert "trailer" not in received.names


def test_pipelined_requests_are_each_answered_as_their_own_user(cloud: Cloud) -> None:
    lines = []
    for who, end in (("ann", ""), ("bob", "Connection: close\r\n")):
        cookie = f"Cookie: shmastra_session={cloud.people[who].session}"
        lines.append(f"GET /api/mastra/{who} HTTP/1.1\r\nHost: 127.0.0.1\r\n{cookie}\r\n{end}\r\n")
    assert cloud.talk("".join(lines).encode()).count(b"HTTP/1.1 200") == 2
    seen = [(one.head.split()[1].decode(), one.get("e2b-sandbox-id")) for one in cloud.engine.received]
    assert seen == [("/api/mastra/ann", "sandbox-of-ann"), ("/api/mastra/bob", "sandbox-of-bob")]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("GET http://127.0.0.1/api/me", 400),
        ("GET http://evil.example/api/mastra/agents", 400),
        ("CONNECT 127.0.0.1:22", 405),
        ("CONNECT /api/mastra/agents", 405),
        ("TRACE /api/mastra/agents", 405),
        ("OPTIONS *", 400),
        ("FOO /api/mastra/agents", 400),
        ("get /api/mastra/agents", 400),
        ("GET", 400),
    ],
)
def test_targets_and_methods_of_proxies_are_refused(cloud: Cloud, line: str, wanted: int) -> None:
    assert status(cloud.ask(line, *cloud.mine())) == wanted
    assert cloud.engine.received == []


def test_expect_is_answered_here_and_never_passed_on(cloud: Cloud) -> None:
    head = _framed("Expect: 100-continue", "Content-Length: 27", f"x-api-key: {cloud.ann.key}")
    answer = cloud.talk(head + BODY)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    assert "expect" not in cloud.provider.received[0].names
    stranger = cloud.talk(_framed("Expect: 100-continue", "Content-Length: 27"))
    assert status(stranger) == 401  # without inviting the body


def test_http_1_0_is_answered_and_closed(cloud: Cloud) -> None:
    answer = cloud.talk(b"GET /health HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
    assert status(answer) == 200
    assert b"connection: close" in answer


def test_heads_that_drip_and_connections_that_say_nothing_are_ended(cloud: Cloud) -> None:
    begun = b"GET /api/me HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    clients = [socket.create_connection(("127.0.0.1", cloud.port)) for _ in range(30)]
    ended: dict[socket.socket, bytes] = {}
    for client in clients:
        client.setblocking(False)
    deadline = time.monotonic() + 40
    while len(ended) < len(clients) and time.monotonic() < deadline:
        for number, client in enumerate(clients):
            if client not in ended and number:
                _drip(client, begun, ended)
            elif client not in ended:
                _read(client, ended)
        begun = b"X-Y: z\r\n"
        time.sleep(0.5)
    assert len(ended) == len(clients)
    assert ended[clients[0]] == b""
    assert all(answer in (b"", b"HTTP/1.1 408") for answer in ended.values())
    for client in clients:
        client.close()


def _drip(client: socket.socket, data: bytes, ended: dict[socket.socket, bytes]) -> None:
    try:
        client.send(data)
    except ConnectionError:
        ended[client] = b""
    else:
        _read(client, ended)


def _read(client: socket.socket, ended: dict[socket.socket, bytes]) -> None:
    try:
        ended[client] = client.recv(65536)[:12]
    except BlockingIOError:
        return
    except ConnectionError:
        ended[client] = b""
