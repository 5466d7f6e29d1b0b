"""What the gateway owes: a row for each call, revoked keys refused, known ones served without a database."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import asyncpg
import httpx
import openai
import pytest
import uvicorn
from google import genai
from tests.doubles.llm_provider import REAL_KEY, TEXT, Provider
from tests.security.support import Cloud, start_cloud, status, stop_cloud

from shmastra_cloud.database import open_pool
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import load_vault
from shmastra_cloud.settings import Settings

BODY = b'{"model":"m","messages":[]}'
CHAT = "POST /api/gateway/openai/v1/chat/completions"
MESSAGES: Any = [{"role": "user", "content": "hi"}]


@asynccontextmanager
async def provider_at(**where: Any) -> AsyncIterator[tuple[Provider, uvicorn.Server]]:
    double = Provider()
    server = uvicorn.Server(uvicorn.Config(double, lifespan="off", log_level="critical", **where))
    task = asyncio.create_task(server._serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    try:
        yield double, server
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def served(dsn: str, tmp_path: Path) -> AsyncIterator[Cloud]:
    """Give a web process between the official SDKs and a stand-in that speaks the providers' formats."""
    socket = str(tmp_path / "demo.sock")
    async with provider_at(port=0) as (_, server), provider_at(uds=socket):
        base = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        variables = {
            "OPENAI_BASE_URL": f"{base}/v1",
            "ANTHROPIC_BASE_URL": f"{base}/v1",
            "GOOGLE_GENERATIVE_AI_BASE_URL": f"{base}/v1beta",
            "COMPOSIO_BASE_URL": base,
            "SHMASTRA_DEMO_SOCKET": socket,
            "SHMASTRA_DEMO_API_KEY": REAL_KEY,
        }
        cloud = await asyncio.to_thread(start_cloud, dsn, tmp_path / "data", **variables)
        try:
            yield cloud
        finally:
            await asyncio.to_thread(stop_cloud, cloud)


async def ask_openai(url: str, key: str) -> None:
    async with openai.AsyncOpenAI(api_key=key, base_url=f"{url}/openai/v1") as client:
        await client.chat.completions.create(model="gpt", messages=MESSAGES)
        async for _ in await client.chat.completions.create(model="gpt", messages=MESSAGES, stream=True):
            pass
        assert (await client.responses.create(model="gpt", input="hi")).output_text == TEXT
        async with client.responses.stream(model="gpt", input="hi") as stream:
            assert (await stream.get_final_response()).output_text == TEXT
        await client.embeddings.create(model="embed", input="a", encoding_format="float")
        await client.models.list()


async def ask_anthropic(url: str, key: str) -> None:
    async with anthropic.AsyncAnthropic(api_key=key, base_url=f"{url}/anthropic") as client:
        ask: Any = {"model": "claude", "max_tokens": 9, "messages": MESSAGES}
        await client.messages.create(**ask)
        async with client.messages.stream(**ask) as stream:
            assert await stream.get_final_text() == TEXT
        assert (await client.messages.count_tokens(model="claude", messages=MESSAGES)).input_tokens == 9
        await client.models.list()


def ask_google(url: str, key: str) -> None:
    for name in ("google", "gemini"):
        client = genai.Client(api_key=key, http_options=genai.types.HttpOptions(base_url=f"{url}/{name}"))
        assert client.models.generate_content(model="gemini-x", contents="hi").text == TEXT
        stream = client.models.generate_content_stream(model="gemini-x", contents="hi")
        assert "".join(part.text or "" for part in stream) == TEXT
        assert client.models.count_tokens(model="gemini-x", contents="hi").total_tokens == 6
        client._api_client._httpx_client.close()


async def ask_the_rest(url: str, cloud: Cloud) -> None:
    async with openai.AsyncOpenAI(api_key=cloud.ann.key, base_url=f"{url}/demo/v1") as client:
        await client.chat.completions.create(model="smollm", messages=MESSAGES)
    async with httpx.AsyncClient(headers={"x-api-key": cloud.ann.key}) as client:
        for path in ("tools", "toolkits"):
            page = await client.get(f"{url}/composio/api/v3/{path}")
            assert page.json()["items"][0]["slug"]
        asked = {"user_id": str(cloud.ann.id), "arguments": {"a": 1}}
        done = await client.post(f"{url}/composio/api/v3/tools/execute/GITHUB_GET_USER", json=asked)
        assert done.json()["successful"]


CHATS = [(7, 5)] * 2
EXPECTED = [
    *(("openai", "gpt", 200, *tokens) for tokens in CHATS),
    *(("openai", "gpt", 200, 8, 5) for _ in range(2)),
    ("openai", "embed", 200, 3, 0),
    ("openai", None, 200, 0, 0),
    *(("anthropic", "claude", 200, 9, 5) for _ in range(2)),
    ("anthropic", "claude", 200, 0, 0),
    ("anthropic", None, 200, 0, 0),
    *(("google", "gemini-x", 200, 6, 5) for _ in range(4)),
    *(("google", "gemini-x", 200, 0, 0) for _ in range(2)),
    ("demo", "smollm", 200, 7, 5),
    *(("composio", None, 200, 0, 0) for _ in range(3)),
]


async def test_every_call_of_every_sdk_leaves_a_row(served: Cloud) -> None:
    url = f"{served.url}/api/gateway"
    await ask_openai(url, served.ann.key)
    await ask_anthropic(url, served.ann.key)
    await asyncio.to_thread(ask_google, url, served.ann.key)
    await ask_the_rest(url, served)
    rows = await rows_of(served, len(EXPECTED))
    told = [
        (row["provider"], row["model"], row["status"], row["input_tokens"], row["output_tokens"])
        for row in rows
    ]
    assert sorted(told, key=repr) == sorted(EXPECTED, key=repr)
    assert {row["user_id"] for row in rows} == {served.ann.id}
    assert {(row["ended"], row["estimated"]) for row in rows} == {("complete", False)}
    spent = [row for row in rows if row["input_tokens"] and row["provider"] != "demo"]
    assert {row["cost_usd"] for row in spent} == {None}  # no table knows these models
    assert {row["cost_usd"] for row in rows if row not in spent} == {0}
    assert all(row["duration_ms"] >= 0 and row["first_byte_ms"] is not None for row in rows)


async def rows_of(cloud: Cloud, count: int) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(cloud.dsn)
    try:
        async with asyncio.timeout(10):
            while len(rows := await connection.fetch("select * from usage_events")) < count:
                await asyncio.sleep(0.05)
        return rows
    finally:
        await connection.close()


@pytest.fixture
def lone(own_dsn: str, tmp_path: Path) -> Iterator[Cloud]:
    """Give a web process of the test's own, which it may break."""
    cloud = start_cloud(own_dsn, tmp_path / "data")
    yield cloud
    stop_cloud(cloud)


def call(cloud: Cloud, key: str | None = None) -> int:
    return status(cloud.ask(CHAT, f"x-api-key: {key or cloud.ann.key}", body=BODY))


def until(cloud: Cloud, wanted: int, key: str | None = None, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while (seen := call(cloud, key)) != wanted:
        assert time.monotonic() < deadline, f"{seen}, not {wanted}"
        time.sleep(0.05)


def users(cloud: Cloud, work: Callable[[Users], Any]) -> Any:
    async def run() -> Any:
        pool = await open_pool(cloud.dsn)
        try:
            settings = Settings(SHMASTRA_DATA=cloud.data)  # type: ignore[call-arg]
            return await work(Users(pool, load_vault(settings)))
        finally:
            await pool.close()

    return asyncio.run(run())


def test_a_rotated_key_and_a_disabled_users_key_are_refused_on_a_running_process(lone: Cloud) -> None:
    bob = lone.people["bob"]
    assert (call(lone), call(lone, bob.key)) == (200, 200)
    users(lone, lambda there: there.rotate_key(lone.ann.email))
    until(lone, 401)
    assert call(lone, bob.key) == 200
    assert call(lone, users(lone, lambda there: there.virtual_key(lone.ann.id))) == 200
    users(lone, lambda there: there.set_disabled(bob.email, disabled=True))
    until(lone, 401, bob.key)
    assert status(lone.ask("GET /api/me", *lone.mine("bob"))) in {401, 403}
    users(lone, lambda there: there.set_disabled(bob.email, disabled=False))
    until(lone, 200, bob.key)


async def sql(dsn: str, *statements: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return [row for statement in statements for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def test_while_the_database_is_away_known_keys_go_on_and_nothing_is_lost(lone: Cloud, postgres: str) -> None:
    name = lone.dsn.partition("?")[0].rpartition("/")[2]
    assert call(lone) == 200
    away = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    asyncio.run(sql(postgres, f"alter database {name} allow_connections false", away))
    try:
        assert [call(lone) for _ in range(5)] == [200] * 5
        unknown = lone.ask(CHAT, f"x-api-key: {lone.people['bob'].key}", body=BODY)
        assert status(unknown) == 503
        assert b"keys_unavailable" in unknown
        assert status(lone.ask("GET /ready")) == 503
        assert status(lone.ask("GET /health")) == 200
    finally:
        asyncio.run(sql(postgres, f"alter database {name} allow_connections true"))
    until(lone, 200, lone.people["bob"].key)
    assert len(asyncio.run(rows_of(lone, 7))) >= 7
    users(lone, lambda there: there.rotate_key(lone.ann.email))
    until(lone, 401)


def test_after_kill_9_at_most_the_last_second_of_usage_is_missing(lone: Cloud) -> None:
    assert [call(lone) for _ in range(20)] == [200] * 20
    time.sleep(1)
    assert call(lone) == 200
    lone.process.send_signal(signal.SIGKILL)
    lone.process.wait(10)
    [row] = asyncio.run(sql(lone.dsn, "select count(*) from usage_events"))
    assert row["count"] in {20, 21}


def test_a_provider_that_refuses_connections_is_502_in_its_format(own_dsn: str, tmp_path: Path) -> None:
    cloud = start_cloud(own_dsn, tmp_path / "data", OPENAI_BASE_URL="http://127.0.0.1:1/v1")
    try:
        base = f"{cloud.url}/api/gateway/openai/v1"
        with openai.OpenAI(api_key=cloud.ann.key, base_url=base, max_retries=0) as client, pytest.raises(
            openai.InternalServerError, match="cannot be reached"
        ) as caught:  # fmt: skip
            client.models.list()
        assert caught.value.status_code == 502
        [row] = asyncio.run(rows_of(cloud, 1))
        assert (row["status"], row["ended"], row["input_tokens"]) == (502, "upstream_error", 0)
    finally:
        stop_cloud(cloud)
