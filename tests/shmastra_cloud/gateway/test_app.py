"""The gateway between the providers' official SDKs and a stand-in that speaks their formats."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx
import openai
import pytest
from google import genai
from tests.doubles.limit_store import Books, Store
from tests.doubles.llm_provider import REAL_KEY, TEXT, Endless, Leads, Provider, Silent
from tests.shmastra_cloud.workspaces.test_relay import serving

from httprelay import Timeouts
from shmastra_cloud.gateway import (
    Gateway,
    KeyCache,
    KeyOwner,
    Limiter,
    Limits,
    UsageRow,
    providers_from_env,
)
from shmastra_cloud.identity import key_hash, new_virtual_key

USER = uuid.uuid4()
KEY = new_virtual_key(USER)


class Keys:
    async def lookup(self, digest: bytes) -> KeyOwner | None:
        return KeyOwner(USER) if digest == key_hash(KEY) else None


class Rows(list[UsageRow]):
    def record(self, row: UsageRow) -> None:
        self.append(row)


@dataclass
class World:
    url: str
    provider: Provider
    rows: Rows
    http: httpx.AsyncClient
    refused: list[tuple[str | None, int]]
    books: Books
    limiter: Limiter

    async def row(self) -> UsageRow:
        async with asyncio.timeout(5):
            while not self.rows:
                await asyncio.sleep(0.01)
        return self.rows[-1]


Make = Callable[..., Awaitable[World]]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        async def build(
            provider: Provider | None = None, limits: dict[uuid.UUID, Limits] | None = None, **environ: str
        ) -> World:
            double = provider or Provider()
            there = await stack.enter_async_context(serving(double))
            variables = {
                "OPENAI_BASE_URL": f"{there}/v1",
                "ANTHROPIC_BASE_URL": f"{there}/v1",
                "GOOGLE_GENERATIVE_AI_BASE_URL": f"{there}/v1beta",
                "OPENAI_API_KEY": REAL_KEY,
                "ANTHROPIC_API_KEY": REAL_KEY,
                "GOOGLE_GENERATIVE_AI_API_KEY": REAL_KEY,
                **environ,
            }
            rows = Rows()
            refused: list[tuple[str | None, int]] = []
            books = Books(limits=limits or {})
            limiter = Limiter(Store(books))
            await limiter.load()
            gateway = Gateway(
                providers_from_env(variables),
                KeyCache(Keys()),
                rows,
                lambda _user: None,
                timeouts=Timeouts(first_byte=0.5),
                refused=lambda name, error: refused.append((name, error.status)),
                limits=limiter,
            )
            stack.push_async_callback(gateway.aclose)
            url = await stack.enter_async_context(serving(gateway))
            http = await stack.enter_async_context(httpx.AsyncClient())
            return World(f"{url}/api/gateway", double, rows, http, refused, books, limiter)

        yield build


async def test_openais_sdk_streams_and_its_usage_is_known_without_being_shown(make: Make) -> None:
    world = await make()
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{world.url}/openai/v1") as client:
        ask: Any = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hi"}]}
        chunks = [chunk async for chunk in await client.chat.completions.create(**ask, stream=True)]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
        assert all(chunk.usage is None for chunk in chunks)
        row = await world.row()
        assert (row.user_id, row.provider, row.model, row.status) == (USER, "openai", "gpt-5-mini", 200)
        assert (row.input_tokens, row.output_tokens, row.estimated, row.ended) == (7, 5, False, "complete")
        whole = await client.chat.completions.create(**ask)
        assert whole.choices[0].message.content == TEXT
    sent = world.provider.asked[0]
    assert sent["headers"]["authorization"] == f"Bearer {REAL_KEY}"
    assert KEY not in str(sent)


async def test_openais_sdk_uses_responses_embeddings_and_models(make: Make) -> None:
    world = await make()
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{world.url}/openai/v1") as client:
        whole = await client.responses.create(model="gpt-5", input="hi")
        assert whole.output_text == TEXT
        row = await world.row()
        assert (row.model, row.input_tokens, row.cached_tokens) == ("gpt-5", 8, 2)
        assert (row.output_tokens, row.reasoning_tokens, row.estimated) == (5, 1, False)
        world.rows.clear()
        async with client.responses.stream(model="gpt-5", input="hi") as stream:
            assert (await stream.get_final_response()).output_text == TEXT
        row = await world.row()
        assert (row.input_tokens, row.output_tokens, row.estimated, row.ended) == (8, 5, False, "complete")
        world.rows.clear()
        vectors = await client.embeddings.create(
            model="text-embedding-3-small", input=["a", "b"], encoding_format="float"
        )
        assert [vector.embedding for vector in vectors.data] == [[0.25, -0.5]] * 2
        row = await world.row()
        assert (row.model, row.input_tokens, row.output_tokens) == ("text-embedding-3-small", 3, 0)
        assert [model.id async for model in client.models.list()] == ["m", "n"]


async def test_anthropics_sdk_streams_and_not(make: Make) -> None:
    world = await make()
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=f"{world.url}/anthropic") as client:
        ask: Any = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        async with client.messages.stream(**ask) as stream:
            assert await stream.get_final_text() == TEXT
        row = await world.row()
        assert (row.provider, row.input_tokens, row.output_tokens) == ("anthropic", 9, 5)
        whole = await client.messages.create(**ask)
        assert whole.content[0].type == "text"
        assert whole.content[0].text == TEXT
        assert (await client.messages.count_tokens(model="c", messages=ask["messages"])).input_tokens == 9
        assert [model.id async for model in await client.models.list()] == ["m", "n"]
    assert world.provider.asked[0]["headers"]["x-api-key"] == REAL_KEY


@pytest.mark.parametrize("name", ["google", "gemini"])
async def test_googles_sdk_streams_and_not(make: Make, name: str) -> None:
    world = await make()

    def ask() -> tuple[str, str]:
        options = genai.types.HttpOptions(base_url=f"{world.url}/{name}")
        client = genai.Client(api_key=KEY, http_options=options)
        try:
            stream = client.models.generate_content_stream(model="gemini-x", contents="hi")
            streamed = "".join(chunk.text or "" for chunk in stream)
            return streamed, client.models.generate_content(model="gemini-x", contents="hi").text or ""
        finally:
            client._api_client._httpx_client.close()  # this version of the SDK has no close of its own

    assert await asyncio.to_thread(ask) == (TEXT, TEXT)
    row = await world.row()
    assert (row.provider, row.model, row.output_tokens) == ("google", "gemini-x", 5)
    assert world.provider.asked[0]["headers"]["x-goog-api-key"] == REAL_KEY


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, ""),
        ({"authorization": "Bearer vk_wrong"}, ""),
        ({"authorization": f"Basic {KEY}"}, ""),
        ({"cookie": f"key={KEY}"}, ""),
        ({"x-other": KEY}, ""),
        ({"x-api-key": KEY, "authorization": f"Bearer {new_virtual_key(USER)}"}, ""),
        ({"x-api-key": KEY}, "?key=another"),
        ({"authorization": f"Bearer {new_virtual_key(USER)}"}, ""),
    ],
)
async def test_a_key_in_no_or_two_or_wrong_places_is_401(make: Make, headers: Any, query: str) -> None:
    world = await make()
    answer = await world.http.get(f"{world.url}/openai/v1/models{query}", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert world.provider.asked == []


@pytest.mark.parametrize("place", ["authorization", "x-api-key", "x-goog-api-key", "query"])
async def test_a_key_is_taken_in_four_places(make: Make, place: str) -> None:
    world = await make()
    headers = {} if place == "query" else {place: f"Bearer {KEY}" if place == "authorization" else KEY}
    url = f"{world.url}/openai/v1/models" + (f"?key={KEY}" if place == "query" else "")
    answer = await world.http.get(url, headers=headers)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert KEY not in str(world.provider.asked)


async def test_what_is_not_to_be_had_is_said_in_the_providers_own_way(make: Make) -> None:
    world = await make(ANTHROPIC_API_KEY="")
    mine = {"x-api-key": KEY}
    missing = await world.http.post(f"{world.url}/anthropic/v1/messages", headers=mine, json={})
    assert missing.status_code == 503
    assert "ANTHROPIC_API_KEY" in missing.json()["error"]["message"]
    unknown = await world.http.get(f"{world.url}/nobody/v1/models", headers=mine)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_provider")
    refused = await world.http.get(f"{world.url}/openai/v1/files", headers=mine)
    assert (refused.status_code, "/v1/files" in refused.text) == (403, True)
    for path in ("/openai/v1%2fmodels", "/openai//v1/models", "/openai/v1/%2e%2e/models"):
        url = httpx.URL(world.url).copy_with(raw_path=f"/api/gateway{path}".encode())
        assert (await world.http.get(url, headers=mine)).status_code == 400
    assert world.provider.asked == []
    assert world.refused[-4:] == [("openai", 403), *[("openai", 400)] * 3]
    assert not world.rows


async def test_a_silent_provider_is_504_and_a_redirect_is_never_followed(make: Make) -> None:
    ask = {"model": "m", "messages": []}
    for provider, status in ((Silent(), 504), (Leads(), 502)):
        world = await make(provider)
        url = f"{world.url}/openai/v1/chat/completions"
        answer = await world.http.post(url, headers={"x-api-key": KEY}, json=ask)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]
        assert "location" not in answer.headers


async def test_an_echoed_real_key_is_taken_out(make: Make) -> None:
    world = await make(OPENAI_API_KEY="sk-other-key-9999")
    answer = await world.http.get(f"{world.url}/openai/v1/models", headers={"x-api-key": KEY})
    assert answer.status_code == 401
    assert "sk-other-key-9999" not in answer.text


async def test_a_client_that_leaves_ends_the_providers_stream_and_is_metered(make: Make) -> None:
    world = await make(Endless())
    ask = {"model": "m", "messages": [], "stream": True}
    url = f"{world.url}/openai/v1/chat/completions"
    async with world.http.stream("POST", url, headers={"x-api-key": KEY}, json=ask) as answer:
        async for _ in answer.aiter_bytes():
            break
    async with asyncio.timeout(5):
        await world.provider.gone.wait()
    row = await world.row()
    assert (row.ended, row.estimated) == ("client_gone", True)
    assert row.output_tokens > 0


async def test_the_catalog_lists_what_has_a_key(make: Make) -> None:
    world = await make(ANTHROPIC_API_KEY="")
    answer = await world.http.get(f"{world.url}/catalog", headers={"authorization": f"Bearer {KEY}"})
    assert answer.json()["providers"] == ["openai", "google"]
    assert answer.json()["tiers"]["fast"].startswith("openai/")
    assert (await world.http.get(f"{world.url}/catalog")).status_code == 401
