"""The gateway under attack: keys that are none, providers that misbehave, clients that leave."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any
from uuid import uuid4

import anthropic
import httpx
import openai
import pytest
from google import genai
from tests.security.support import (
    EVENTS,
    PATIENCE,
    REAL_KEY,
    Cloud,
    Received,
    chunk,
    status,
    until_closed,
)

ROUTES = {
    "openai": "/api/gateway/openai/v1/chat/completions",
    "anthropic": "/api/gateway/anthropic/v1/messages",
    "google": "/api/gateway/google/v1beta/models/gemini-x:generateContent",
    "gemini": "/api/gateway/gemini/v1beta/models/gemini-x:generateContent",
    "composio": "/api/gateway/composio/api/v3/tools/execute/X",
}
BODY = b'{"model":"m","messages":[]}'
STREAM = b'{"model":"m","messages":[],"stream":true}'
MESSAGES: Any = [{"role": "user", "content": "hi"}]


def said(answer: bytes) -> Any:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def in_its_format(name: str, error: Any) -> bool:
    """Tell whether an error is one that the provider itself could have sent."""
    inner = error["error"]
    if name == "anthropic":
        return error["type"] == "error" and {"type", "message"} <= set(inner)
    if name in {"google", "gemini"}:
        return {"code", "message", "status"} <= set(inner)
    if name == "composio":
        return {"message", "slug", "status"} <= set(inner)
    return {"message", "type", "param", "code"} <= set(inner)


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize(
    "place",
    [
        [],
        ["Authorization: Bearer vk_wrong"],
        ["Authorization: Bearer"],
        ["Authorization: Basic {key}"],
        ["Authorization: {key}"],
        ["Authorization: Bearer {key} x"],
        ["Authorization: Bearer {other}"],
        ["X-Api-Key: {other}"],
        ["X-Api-Key: {key}{key}"],
        ["Cookie: key={key}; authorization=Bearer {key}"],
        ["X-Virtual-Key: {key}"],
        ["Proxy-Authorization: Bearer {key}"],
        ["X-Goog-Api-Key: {key}", "X-Api-Key: {other}"],
        ["Authorization: Bearer {key}", "Authorization: Bearer {other}"],
        ["Authorization: Bearer {key}", "X-Api-Key: {bob}"],
        ["X-Api-Key: {real}"],
    ],
    ids=repr,
)
def test_a_wrong_misplaced_or_doubled_key_is_401_in_the_providers_format(
    cloud: Cloud, name: str, place: list[str]
) -> None:
    keys = {
        "key": cloud.ann.key,
        "bob": cloud.people["bob"].key,
        "other": f"vk_{uuid4()}_{'a' * 48}",
        "real": REAL_KEY,
    }
    headers = [header.format(**keys) for header in place]
    body = json.dumps({"api_key": cloud.ann.key, "key": cloud.ann.key}).encode()
    answer = cloud.ask(f"POST {ROUTES[name]}", *headers, body=body)
    assert status(answer) == 401
    assert in_its_format(name, said(answer))
    assert not any(key.encode() in answer for key in keys.values())
    assert cloud.provider.received == []


def test_the_official_sdks_raise_their_own_errors_for_a_wrong_key(cloud: Cloud) -> None:
    base = f"{cloud.url}/api/gateway"
    with openai.OpenAI(api_key="vk_x", base_url=f"{base}/openai/v1") as client:
        with pytest.raises(openai.AuthenticationError, match="virtual key"):
            client.models.list()
        with pytest.raises(openai.AuthenticationError):
            client.responses.create(model="m", input="hi")
    with anthropic.Anthropic(api_key="vk_x", base_url=f"{base}/anthropic") as client, pytest.raises(
        anthropic.AuthenticationError, match="virtual key"
    ):  # fmt: skip
        client.messages.create(model="m", max_tokens=9, messages=MESSAGES)
    google = genai.Client(api_key="vk_x", http_options=genai.types.HttpOptions(base_url=f"{base}/google"))
    with pytest.raises(genai.errors.ClientError) as caught:
        google.models.generate_content(model="m", contents="hi")
    google._api_client._httpx_client.close()
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")


def test_another_users_name_in_a_header_or_query_changes_nothing(cloud: Cloud) -> None:
    bob = cloud.people["bob"]
    headers = [f"X-Shmastra-User: {bob.id}", f"X-User-Id: {bob.id}", f"OpenAI-Organization: {bob.id}"]
    path = f"{ROUTES['openai']}?user={bob.id}&key={cloud.ann.key}&Key={bob.key}&access_token={bob.key}"
    assert status(cloud.ask(f"POST {path}", *headers, body=BODY)) == 200
    [received] = cloud.provider.received
    assert received.get("authorization") == f"Bearer {REAL_KEY}"
    for key in (bob.key, cloud.ann.key):
        assert key.encode() not in received.head
    assert "openai-organization" not in received.names
    body = b'{"user_id":"%s"}' % str(bob.id).encode()
    path = f"{ROUTES['composio']}?user_id={bob.id}"
    assert status(cloud.ask(f"POST {path}", f"x-api-key: {cloud.ann.key}", body=body)) == 200
    received = cloud.provider.received[-1]
    assert received.body == b'{"user_id": "%s"}' % str(cloud.ann.id).encode()
    assert str(bob.id).encode() not in received.head


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("openai/v1/responses", b'{"model":"m","input":"x","previous_response_id":"resp_1"}'),
        ("openai/v1/responses", b'{"model":"m","previous_response_id":"resp_1","previous_response_id":null}'),
        ("openai/v1/responses", rb'{"model":"m","previous\u005fresponse_id":"resp_1"}'),
        ("openai/v1/responses", b'{"model":"m","Previous_Response_Id":"resp_1"}'),
        ("openai/v1/responses", b'{"model":"m","input":[{"content":[{"file_id":"f"}]}],"input":"x"}'),
        ("openai/v1/responses", b'{"model":"m","conversation":{"id":"conv_1"}}'),
        ("openai/v1/responses", b'{"model":"m","tools":[{"vector_store_ids":["vs_1"]}]}'),
        ("openai/v1/responses", b'{"model":"m","prompt":{"id":"pmpt_1"}}'),
        ("openai/v1/responses", b'{"model":"m","background":true,"background":false}'),
        ("openai/v1/responses/resp_1/cancel", b""),
        ("openai/v1/conversations/conv_1/items", b'{"items":[]}'),
        ("openai/v1/chat/completions", b'{"messages":[{"content":[{"file":{"file_id":"f"}}]}]}'),
        ("anthropic/v1/messages", b'{"messages":[{"content":[{"source":{"file_id":"f"}}]}]}'),
        ("anthropic/v1/messages", b'{"container":"container_1"}'),
        ("google/v1beta/models/m:generateContent", b'{"cachedContent":"cachedContents/x"}'),
        ("google/v1beta/models/m:generateContent", b'{"contents":[{"fileData":{"fileUri":"files/x"}}]}'),
        ("composio/api/v3/tools/execute/X", b'{"connected_account_id":5}'),
    ],
)
def test_what_somebody_else_may_have_made_is_not_to_be_had(cloud: Cloud, path: str, body: bytes) -> None:
    answer = cloud.ask(f"POST /api/gateway/{path}", f"x-api-key: {cloud.ann.key}", body=body)
    assert status(answer) in {400, 403}
    assert in_its_format(path.partition("/")[0], said(answer))
    assert cloud.provider.received == []


@pytest.mark.parametrize(
    "path", ["/api/gateway/nobody/v1/x", "/api/gateway/", "/api/gateway/OPENAI/v1/models"]
)
def test_an_unknown_provider_is_404(cloud: Cloud, path: str) -> None:
    answer = cloud.ask(f"GET {path}", f"x-api-key: {cloud.ann.key}")
    assert (status(answer), said(answer)["code"]) == (404, "unknown_provider")


def test_a_provider_without_a_key_names_the_variable(cloud: Cloud) -> None:
    path = "/api/gateway/demo/v1/chat/completions"
    answer = cloud.ask(f"POST {path}", f"x-api-key: {cloud.ann.key}", body=BODY)
    assert status(answer) == 503
    assert "SHMASTRA_DEMO_MODEL" in said(answer)["error"]["message"]
    assert b"x-should-retry: false" in answer


def silent(connection: socket.socket, _received: Received) -> None:
    until_closed(connection)


@pytest.mark.parametrize("name", ROUTES)
def test_a_silent_provider_is_504_in_its_format_and_is_left(cloud: Cloud, name: str) -> None:
    cloud.provider.answer = silent
    body = json.dumps({"user_id": str(cloud.ann.id)}).encode()
    answer = cloud.ask(f"POST {ROUTES[name]}", f"x-api-key: {cloud.ann.key}", body=body)
    assert status(answer) == 504
    assert in_its_format(name, said(answer))
    assert cloud.provider.closed.wait(5)


def _then_close(data: bytes) -> Any:
    def answer(connection: socket.socket, _received: Received) -> None:
        connection.sendall(data)
        connection.close()

    return answer


BAD_ANSWERS = {
    "closes at once": b"",
    "closes in its head": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "speaks SMTP": b"220 smtp.example ESMTP\r\n",
    "speaks TLS": b"\x15\x03\x01\x00\x02\x02\x50",
    "speaks HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "sends 1 MB of head": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000,
    "never ends its heads": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 5000,
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "both lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folds": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "bare line ends": b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    "splits": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\n{}",
    "an unknown status": b"HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n",
    "switches protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "redirects": b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
    "redirects for good": b"HTTP/1.1 308 X\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("bad", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_a_provider_that_misbehaves_is_502_in_its_format(cloud: Cloud, bad: bytes) -> None:
    cloud.provider.answer = _then_close(bad)
    answer = cloud.ask(f"POST {ROUTES['anthropic']}", f"x-api-key: {cloud.ann.key}", body=BODY)
    assert status(answer) == 502
    assert in_its_format("anthropic", said(answer))
    assert b"location" not in answer.lower().partition(b"\r\n\r\n")[0]
    assert b"set-cookie" not in answer.lower()
    assert REAL_KEY.encode() not in answer
    assert len(cloud.provider.received) == 1  # what may have cost something is not asked again


@pytest.mark.parametrize(
    ("good", "wanted"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200),
        (b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", 200),
    ],
)
def test_odd_but_lawful_answers_pass(cloud: Cloud, good: bytes, wanted: int) -> None:
    cloud.provider.answer = _then_close(good)
    answer = cloud.ask(f"POST {ROUTES['openai']}", f"x-api-key: {cloud.ann.key}", body=BODY)
    assert status(answer) == wanted
    assert b"link" not in answer


def test_what_a_provider_says_about_the_origin_does_not_come_out(cloud: Cloud) -> None:
    evil = [
        "Set-Cookie: shmastra_session=evil",
        "Access-Control-Allow-Origin: *",
        "Link: <evil>",
        "Refresh: 0",
    ]
    evil += [f"X-Echo: {REAL_KEY}", "X-Accel-Redirect: /etc/evil", "Cache-Control: public", "Server: evil"]
    head = "\r\n".join(["HTTP/1.1 200 OK", "Content-Type: text/html", *evil, "Content-Length: 2", "", "{}"])
    cloud.provider.answer = head.encode()
    answer = cloud.ask(f"POST {ROUTES['openai']}", f"x-api-key: {cloud.ann.key}", body=BODY)
    assert status(answer) == 200
    assert not any(word in answer for word in (b"evil", b"access-control", b"refresh", REAL_KEY.encode()))
    assert b"cache-control: no-store" in answer
    assert b"sandbox" in answer
    assert answer.count(b"\r\ndate: ") == 1


def _breaks_off(*events: bytes, silent_after: bool = False) -> Any:
    def answer(connection: socket.socket, _received: Received) -> None:
        connection.sendall(EVENTS + b"".join(map(chunk, events)))
        if silent_after:
            until_closed(connection)
        connection.close()

    return answer


DELTA = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
)


@pytest.mark.parametrize("silent_after", [False, True])
def test_openais_sdk_raises_when_a_stream_breaks_off(cloud: Cloud, *, silent_after: bool) -> None:
    cloud.provider.answer = _breaks_off(DELTA, DELTA[:40], silent_after=silent_after)
    base = f"{cloud.url}/api/gateway/openai/v1"
    with openai.OpenAI(api_key=cloud.ann.key, base_url=base, max_retries=0) as client:
        stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        assert next(stream).choices[0].delta.content == "hi"
        with pytest.raises(openai.APIError, match="for too long" if silent_after else "broke off"):
            list(stream)


def test_openais_sdk_raises_when_a_streamed_response_breaks_off(cloud: Cloud) -> None:
    event = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"hi"}\n\n'
    cloud.provider.answer = _breaks_off(event)
    base = f"{cloud.url}/api/gateway/openai/v1"
    with openai.OpenAI(api_key=cloud.ann.key, base_url=base, max_retries=0) as client:
        stream = client.responses.create(model="m", input="hi", stream=True)
        assert next(iter(stream)).type == "response.output_text.delta"
        with pytest.raises(openai.APIError, match="broke off"):
            list(stream)


def test_anthropics_sdk_raises_when_a_stream_breaks_off(cloud: Cloud) -> None:
    cloud.provider.answer = _breaks_off(b'event: ping\ndata: {"type":"ping"}\n\n', b"event: content_block_d")
    base = f"{cloud.url}/api/gateway/anthropic"
    with anthropic.Anthropic(api_key=cloud.ann.key, base_url=base, max_retries=0) as client:
        stream = client.messages.create(model="m", max_tokens=9, messages=MESSAGES, stream=True)
        with pytest.raises(anthropic.APIStatusError, match="broke off"):
            list(stream)


def test_googles_sdk_raises_when_a_stream_breaks_off(cloud: Cloud) -> None:
    part = b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"hi"}]},"index":0}]}\n\n'
    cloud.provider.answer = _breaks_off(part)
    options = genai.types.HttpOptions(base_url=f"{cloud.url}/api/gateway/google")
    client = genai.Client(api_key=cloud.ann.key, http_options=options)
    stream = client.models.generate_content_stream(model="gemini-x", contents="hi")
    assert next(stream).text == "hi"
    with pytest.raises(httpx.RemoteProtocolError):
        list(stream)
    client._api_client._httpx_client.close()


def test_a_client_that_leaves_closes_the_providers_stream_at_once(cloud: Cloud) -> None:
    started, order = threading.Event(), []

    def hold(connection: socket.socket, _received: Received) -> None:
        connection.sendall(EVENTS + chunk(DELTA))
        started.set()
        until_closed(connection)
        order.append("provider")

    cloud.provider.answer = hold
    lines = [f"POST {ROUTES['openai']} HTTP/1.1", "Host: 127.0.0.1", f"x-api-key: {cloud.ann.key}"]
    lines += [f"Content-Length: {len(STREAM)}", "", ""]
    with socket.create_connection(("127.0.0.1", cloud.port), PATIENCE) as client:
        client.sendall("\r\n".join(lines).encode() + STREAM)
        assert started.wait(PATIENCE)
        assert b"200 OK" in client.recv(65536)
        order.append("client")
    assert cloud.provider.closed.wait(5)
    assert order == ["client", "provider"]


def test_a_client_that_leaves_before_the_answer_began_closes_the_providers_connection(cloud: Cloud) -> None:
    cloud.provider.answer = silent
    lines = [f"POST {ROUTES['openai']} HTTP/1.1", "Host: 127.0.0.1", f"x-api-key: {cloud.ann.key}"]
    lines += [f"Content-Length: {len(BODY)}", "", ""]
    with socket.create_connection(("127.0.0.1", cloud.port), PATIENCE) as client:
        client.sendall("\r\n".join(lines).encode() + BODY)
        deadline = time.monotonic() + PATIENCE
        while not cloud.provider.received:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert not cloud.provider.closed.is_set()
    assert cloud.provider.closed.wait(1.2)  # the time-out would come at 1.5 s


def test_a_pipelined_client_that_leaves_closes_the_running_stream(cloud: Cloud) -> None:
    started = threading.Event()

    def hold(connection: socket.socket, _received: Received) -> None:
        for _ in range(200):
            connection.sendall((b"" if started.is_set() else EVENTS) + chunk(DELTA))
            started.set()
            time.sleep(0.05)

    cloud.provider.answer = hold
    lines = [f"POST {ROUTES['openai']} HTTP/1.1", "Host: 127.0.0.1", f"x-api-key: {cloud.ann.key}"]
    lines += [f"Content-Length: {len(STREAM)}", "", ""]
    with socket.create_connection(("127.0.0.1", cloud.port), PATIENCE) as client:
        client.sendall(
            "\r\n".join(lines).encode() + STREAM + b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        )
        assert started.wait(PATIENCE)
    assert cloud.provider.closed.wait(5)
