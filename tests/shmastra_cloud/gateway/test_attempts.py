import asyncio
from typing import Any

import httpx
import pytest
from tests.shmastra_cloud.gateway.worlds import MINE, Asked, Says, Scripted, gateway, openai_by

CHAT = "openai/v1/chat/completions"
BODY = {"model": "m", "messages": []}


def refusing(bad: dict[str, Says]) -> Scripted:
    return Scripted(lambda asked: bad.get(asked.key, Says()))


@pytest.mark.parametrize("status", [401, 429])
async def test_a_refused_key_rests_and_the_request_goes_out_once_more_with_another(status: int) -> None:
    provider = refusing({"a": Says(status, {"retry-after": "30"})})
    async with openai_by(provider, "a,b,c") as world:
        for _ in range(4):
            assert (await world.ask(CHAT, BODY)).status_code == 200
        row = await world.row()
    assert [asked.key for asked in provider.asked] == ["a", "b", "c", "b", "c"]
    assert {asked.body for asked in provider.asked} == {provider.asked[0].body}
    assert (row.status, row.ended) == (200, "complete")
    assert len(world.rows) == 3


async def test_there_is_one_repetition_and_no_more() -> None:
    provider = refusing({key: Says(429, {"retry-after": "9"}) for key in "abc"})
    async with openai_by(provider, "a,b,c") as world:
        answer = await world.ask(CHAT, BODY)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "9"
    assert "x-shmastra-error" not in answer.headers
    assert [asked.key for asked in provider.asked] == ["a", "b"]


async def test_a_single_key_passes_the_providers_own_refusal_through() -> None:
    said = Says(429, {"retry-after": "17"}, b'{"error":{"message":"slow down"}}')
    provider = refusing({"sk-only": said})
    async with openai_by(provider, "sk-only") as world:
        for _ in range(2):
            answer = await world.ask(CHAT, BODY)
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "17")
            assert answer.content == said.body
    assert len(provider.asked) == 2


async def test_a_stream_and_a_get_are_repeated_too() -> None:
    provider = refusing({"a": Says(401)})
    async with openai_by(provider, "a,b") as world:
        assert (await world.ask("openai/v1/models")).status_code == 200
    assert [asked.key for asked in provider.asked] == ["a", "b"]


async def test_an_upload_that_streams_through_is_never_repeated() -> None:
    provider = refusing({"a": Says(429)})
    async with openai_by(provider, "a,b") as world:
        file = {"file": ("x.wav", b"x" * 9_000_000)}
        url = f"{world.url}/openai/v1/audio/transcriptions"
        answer = await world.http.post(url, headers=MINE, files=file, data={"model": "whisper-1"})
        assert answer.status_code == 429
        assert len(provider.asked) == 1
        small = {"file": ("x.wav", b"x" * 1000)}
        answer = await world.http.post(url, headers=MINE, files=small, data={"model": "whisper-1"})
    assert answer.status_code == 200
    assert provider.asked[-1].key == "b"


INVALID = b'{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}'


@pytest.mark.parametrize(("body", "next_keys"), [(INVALID, ["b", "b"]), (b'{"error":{}}', ["b", "a"])])
async def test_a_key_that_only_the_body_calls_invalid_rests_from_the_next_request_on(
    body: bytes, next_keys: list[str]
) -> None:
    provider = refusing({"a": Says(400, {}, body)})
    async with openai_by(provider, "a,b") as world:
        assert (await world.ask(CHAT, BODY)).status_code == 400
        for _ in range(2):
            await world.ask(CHAT, BODY)
    assert [asked.key for asked in provider.asked] == ["a", *next_keys]


class Breaks:
    """Takes requests over raw sockets; closes the first ``times`` connections before any answer."""

    def __init__(self, times: int) -> None:
        self.left, self.asked = times, 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
            self.asked += 1
            if self.left > 0:
                self.left -= 1
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


async def _over(provider: Breaks, path: str, body: Any) -> httpx.Response:
    server = await asyncio.start_server(provider, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        environ = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": "a"}
        async with gateway(environ) as world:
            return await world.ask(path, body)
    finally:
        server.close()


@pytest.mark.parametrize(
    ("path", "body", "breaks", "status", "asked"),
    [
        ("openai/v1/models", None, 1, 200, 2),
        ("openai/v1/responses/input_tokens", BODY, 1, 200, 2),
        ("openai/v1/responses/input_tokens", BODY, 2, 502, 2),
        (CHAT, BODY, 1, 502, 1),
    ],
)
async def test_a_connection_that_breaks_is_tried_again_only_where_asking_twice_costs_nothing(
    path: str, body: Any, breaks: int, status: int, asked: int
) -> None:
    provider = Breaks(breaks)
    answer = await _over(provider, path, body)
    assert (answer.status_code, provider.asked) == (status, asked)
    assert answer.headers.get("x-shmastra-error") == (None if status == 200 else "upstream_error")


async def test_a_provider_that_is_just_restarting_is_reached_at_the_second_try() -> None:
    reserve = await asyncio.start_server(Breaks(0), "127.0.0.1", 0)
    port = reserve.sockets[0].getsockname()[1]
    reserve.close()
    await reserve.wait_closed()
    environ = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": "a"}
    async with gateway(environ) as world:
        asking = asyncio.ensure_future(world.ask(CHAT, BODY))
        await asyncio.sleep(0.03)
        server = await asyncio.start_server(Breaks(0), "127.0.0.1", port)
        try:
            assert (await asking).status_code == 200
        finally:
            server.close()


async def test_a_second_answer_that_fails_is_told_and_metered_as_the_gateways_own() -> None:
    end = asyncio.Event()

    async def never(asked: Asked) -> Says:
        if asked.key == "b":
            await end.wait()
        return Says(429)

    environ = {"SHMASTRA_PROVIDER_TIMEOUTS": "openai=1/0.2/0.2"}
    async with openai_by(Scripted(never), "a,b", **environ) as world:
        answer = await world.ask(CHAT, BODY)
        row = await world.row()
        end.set()
    assert (answer.status_code, answer.headers["x-shmastra-error"]) == (504, "upstream_timeout")
    assert (row.status, row.ended) == (504, "upstream_error")
