"""How a realtime connection is let in, refused, and what of it the provider sees."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from tests.doubles.llm_provider import REAL_KEY
from tests.doubles.realtime import Realtime
from tests.httprelay.support import exchange, raw_upstream
from tests.shmastra_cloud.gateway.realtimes import KEY, ORIGIN, USER, Make, World, worlds
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from shmastra_cloud.gateway import realtime as module
from shmastra_cloud.gateway.realtime import as_http
from shmastra_cloud.identity import new_virtual_key

BEARER = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    async with worlds() as build:
        yield build


async def refusal(world: World, *args: Any, **options: Any) -> Response:
    with pytest.raises(InvalidStatus) as caught:
        await world.dial(*args, **options)
    return caught.value.response


def code(answer: Response) -> str:
    return str(json.loads(answer.body)["error"]["code"])


@pytest.mark.parametrize("place", ["Authorization", "x-api-key", "x-goog-api-key", "query"])
async def test_a_key_is_taken_in_four_places_and_only_the_real_one_goes_on(make: Make, place: str) -> None:
    world = await make()
    headers = {} if place == "query" else {place: f"Bearer {KEY}" if place == "Authorization" else KEY}
    query = "?model=gpt-realtime" + (f"&key={KEY}" if place == "query" else "")
    socket = await world.dial(query, headers=headers)
    await socket.close()
    assert KEY not in str(world.provider.asked)
    assert world.provider.asked[0].path == "/v1/realtime?model=gpt-realtime"


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {}},
        {"headers": {"Authorization": f"Basic {KEY}"}},
        {"headers": {"Cookie": f"key={KEY}"}},
        {"headers": {"api-key": KEY}},
        {"headers": {"x-api-key": KEY, "Authorization": f"Bearer {new_virtual_key(USER)}"}},
        {"headers": {"Authorization": f"Bearer {new_virtual_key(USER)}"}},
        {"headers": {}, "subprotocols": ["realtime", f"openai-insecure-api-key.{KEY}"]},
        {"headers": BEARER, "subprotocols": ["realtime", f"openai-insecure-api-key.{KEY}"]},
    ],
)
async def test_a_key_in_no_or_two_or_wrong_places_is_401(make: Make, options: Any) -> None:
    world = await make()
    answer = await refusal(world, **options)
    assert (answer.status_code, code(answer)) == (401, "invalid_api_key")
    assert KEY not in answer.body.decode()
    assert world.provider.asked == []
    assert world.rows == []


@pytest.mark.parametrize(
    "origin", [None, ORIGIN, "https://evil.example", "null", f"{ORIGIN}.evil.example", ""]
)
async def test_a_page_of_another_origin_may_not(make: Make, origin: str | None) -> None:
    world = await make()
    headers = BEARER if origin is None else {**BEARER, "Origin": origin}
    if origin in (None, ORIGIN):
        await (await world.dial(headers=headers)).close()
        assert "origin" not in world.provider.asked[0].headers
        return
    answer = await refusal(world, headers=headers)
    assert (answer.status_code, code(answer)) == (403, "route_not_allowed")
    assert world.provider.asked == []


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/realtime", "", 400),
        ("/realtime", "?model=", 400),
        ("/realtime", "?model=a&model=b", 400),
        ("/realtime", "?model=a%0d%0ab", 400),
        ("/realtime", "?model=a%26call_id=b", 400),
        ("/realtime", "?call_id=rtc_1", 403),
        ("/realtime", "?model=gpt-realtime&call_id=rtc_1", 403),
        ("/realtime", "?intent=transcription", 403),
        ("/realtime", "?model=gpt-realtime&%69ntent=transcription", 403),
        ("/realtime/translations", "?model=gpt-realtime", 403),
        ("/responses", "?model=gpt-realtime", 403),
        ("/chat/completions", "?model=gpt-realtime", 403),
    ],
)
async def test_what_is_not_a_connection_to_one_model_is_refused(
    make: Make, path: str, query: str, status: int
) -> None:
    world = await make()
    answer = await refusal(world, query, f"/openai/v1{path}")
    assert answer.status_code == status
    assert json.loads(answer.body)["error"]["message"]
    assert world.provider.asked == []


async def test_nothing_that_would_go_around_the_gateway_is_relayed(make: Make) -> None:
    world = await make()
    async with httpx.AsyncClient(headers=BEARER) as http:
        for path in ("/realtime/client_secrets", "/realtime/sessions", "/realtime/calls", "/realtime"):
            answer = await http.post(world.base + path, json={"model": "gpt-realtime"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "route_not_allowed")
        assert (await http.get(f"{world.base}/realtime?model=gpt-realtime")).status_code == 403
    async with world.sdk(max_retries=0) as client:
        with pytest.raises(openai.PermissionDeniedError):
            await client.realtime.client_secrets.create()
    assert world.provider.asked == []


async def test_only_providers_that_have_it_are_asked(make: Make) -> None:
    world = await make(ANTHROPIC_API_KEY="sk-ant-1")
    for name, status in (("anthropic", 403), ("google", 503), ("nobody", 404), ("composio", 503)):
        answer = await refusal(world, path=f"/{name}/v1/realtime")
        assert answer.status_code == status
    assert world.provider.asked == []


async def test_of_the_clients_headers_and_subprotocols_only_some_go_on(make: Make) -> None:
    world = await make()
    headers = {
        **BEARER,
        "OpenAI-Beta": "realtime=v1",
        "OpenAI-Organization": "org",
        "Cookie": "shmastra_session=1",
        "X-Forwarded-For": "1.2.3.4",
        "User-Agent": "mine",
        "Sec-WebSocket-Extensions": "permessage-deflate",
    }
    names: Any = ["realtime", "openai-organization.org", "openai-beta.realtime-v1", "x"]
    socket = await world.dial(headers=headers, subprotocols=names, compression=None)
    assert socket.subprotocol == "realtime"
    assert socket.protocol.extensions == []
    await socket.close()
    sent = world.provider.asked[0].headers
    assert sent["openai-beta"] == "realtime=v1"
    assert sent["user-agent"] == "mine"
    assert sent["sec-websocket-protocol"] == "realtime, openai-beta.realtime-v1"
    for name in ("cookie", "openai-organization", "x-forwarded-for", "sec-websocket-extensions", "x-api-key"):
        assert name not in sent
    assert sent["host"] != f"127.0.0.1:{world.port}"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
async def test_a_providers_refusal_is_passed_on_without_the_real_key(make: Make, status: int) -> None:
    double = Realtime(refusal=(status, json.dumps({"error": {"message": "no sk-a***b", "code": "theirs"}})))
    world = await make(double, **({"OPENAI_API_KEY": "sk-other-key-9999"} if status == 401 else {}))
    answer = await refusal(world)
    assert answer.status_code == status
    assert "sk-other" not in answer.body.decode()
    assert "sk-a***b" not in answer.body.decode()
    assert code(answer) == ("invalid_api_key" if status == 401 else "theirs")
    assert answer.headers["retry-after"] == "3"
    assert answer.headers["content-type"] == "application/json"
    assert "location" not in answer.headers
    assert "set-cookie" not in answer.headers
    row = await world.row()
    assert (row.status, row.ended, row.output_tokens, row.model) == (
        status,
        "upstream_error",
        0,
        "gpt-realtime",
    )


async def test_a_key_that_is_refused_rests_and_another_one_is_asked_once(make: Make) -> None:
    world = await make(OPENAI_API_KEY=f"sk-worn-1,{REAL_KEY},sk-worn-2")
    await (await world.dial()).close()
    keys = [request.headers["authorization"] for request in world.provider.asked]
    assert keys == ["Bearer sk-worn-1", f"Bearer {REAL_KEY}"]
    await (await world.dial()).close()  # the third, then again the second: the first one rests
    keys = [request.headers["authorization"] for request in world.provider.asked]
    assert keys[2:] == ["Bearer sk-worn-2", f"Bearer {REAL_KEY}"]
    assert [row.status for row in world.rows if row.status != 101] == []
    both = await make(OPENAI_API_KEY="sk-worn-1,sk-worn-2,sk-worn-3")
    answer = await refusal(both)
    assert (answer.status_code, len(both.provider.asked)) == (401, 2)


async def test_a_refusal_that_is_no_json_is_put_into_the_providers_format(make: Make) -> None:
    answer = await refusal(await make(Realtime(refusal=(404, "<html>"))))
    assert (answer.status_code, code(answer)) == (404, "upstream_refused")


@pytest.mark.parametrize(("status", "wanted"), [(302, 502), (200, 502)])
async def test_a_redirect_is_never_followed_nor_shown(make: Make, status: int, wanted: int) -> None:
    double = Realtime(refusal=(status, "elsewhere"))
    answer = await refusal(await make(double))
    assert (answer.status_code, code(answer)) == (wanted, "upstream_error")
    assert "location" not in answer.headers
    assert len(double.asked) == 1


async def test_a_provider_that_is_not_there_is_502_and_one_that_is_silent_504(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("httprelay.websocket_client.HANDSHAKE_SECONDS", 0.2)
    world = await make(OPENAI_BASE_URL="http://127.0.0.1:1/v1")
    answer = await refusal(world)
    assert (answer.status_code, code(answer)) == (502, "upstream_error")

    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        left.set()

    async with raw_upstream(silent) as port:
        world = await make(OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1")
        answer = await refusal(world)
        assert (answer.status_code, code(answer)) == (504, "upstream_timeout")
        await asyncio.wait_for(left.wait(), 5)


async def test_a_client_that_leaves_before_the_answer_ends_the_handshake(make: Make) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        left.set()

    async with raw_upstream(silent) as port:
        world = await make(OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1")
        client = asyncio.ensure_future(world.dial())
        await asyncio.wait_for(asked.wait(), 5)
        client.cancel()
        await asyncio.wait_for(left.wait(), 2)
        row = await world.row()
    assert (row.status, row.ended) == (499, "client_gone")


async def test_more_connections_than_a_process_carries_are_429(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SOCKETS", 1)
    world = await make()
    first = await world.dial()
    answer = await refusal(world)
    assert (answer.status_code, code(answer)) == (429, "too_many_connections")
    await first.close()
    await asyncio.wait_for(world.provider.closed.wait(), 5)
    async with asyncio.timeout(5):
        while True:
            try:
                await (await world.dial()).close()
                break
            except InvalidStatus:
                await asyncio.sleep(0.02)


async def test_a_second_handshake_or_request_behind_the_first_reaches_no_one(make: Make) -> None:
    world = await make()
    head = (
        "GET /api/gateway/openai/v1/realtime?model=gpt-realtime HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    )
    models = f"GET /api/gateway/openai/v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: {KEY}\r\n\r\n"
    for data in (head + head, head + models, models + head):
        answer = await exchange(world.port, data.encode())
        assert b" 101 " not in answer
    assert [request.path for request in world.provider.asked if "realtime" in request.path] == []


async def test_an_answer_of_http_is_one_of_a_socket_that_was_not_opened() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await as_http(send)({"type": "http.response.start", "status": 429})
    assert sent == [{"type": "websocket.http.response.start", "status": 429}]
