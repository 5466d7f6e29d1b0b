"""A web process that is told to end: no longer ready, open streams get time, then end with an event."""

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.doubles.llm_provider import REAL_KEY, Endless, Provider
from tests.doubles.realtime import Realtime, realtime
from tests.shmastra_cloud.webs import MASTER_KEY, shmastra, web_process
from tests.support.serving import served
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from shmastra_cloud.database import Pool
from shmastra_cloud.ending import End
from shmastra_cloud.identity import Sessions, Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.workspaces import Workspaces

CHAT = "/api/gateway/openai/v1/chat/completions"
ASK = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}


async def everything(http: httpx.AsyncClient, method: str, url: str, **options: Any) -> tuple[str, float]:
    """Return what a stream said until its end, and when that was; a cut one raises."""
    async with http.stream(method, url, **options) as answer:
        assert answer.status_code == 200
        text = "".join([piece async for piece in answer.aiter_text()])
    return text, time.monotonic()


async def closed_with(url: str, key: str) -> int | None:
    async with connect(url, additional_headers={"Authorization": f"Bearer {key}"}, proxy=None) as socket:
        try:
            while True:
                await socket.recv()
        except ConnectionClosed:
            return socket.close_code


async def test_it_ends_in_order_and_tells_whom_it_cuts(
    dsn: str, tmp_path: Path, pool: Pool, vault: Vault
) -> None:
    users = Users(pool, vault)
    ann = await users.invite("ann@example.com")
    key, cookie = await users.virtual_key(ann), await Sessions(pool).start(ann)
    await Workspaces(pool, vault).ensure(ann)
    environ = {"DATABASE_URL": dsn, "OPENAI_API_KEY": REAL_KEY, "SHMASTRA_MASTER_KEY": MASTER_KEY}
    environ |= {"SHMASTRA_ENGINE_URL": "http://127.0.0.1:1", "SHMASTRA_ENGINE_KEY": "e2b_test"}
    environ |= {"SHMASTRA_DRAIN_NOTICE_SECONDS": "0.6", "SHMASTRA_DRAIN_SECONDS": "1.4"}
    timings: dict[str, float] = {}
    async with realtime(Realtime()) as talking:
        environ |= {"OPENAI_BASE_URL": talking}
        with (
            served(Endless()) as endless,
            served(Provider(rest=0.15)) as short,
            web_process(
                tmp_path,
                **environ,
                SHMASTRA_PROVIDERS=f"endless={endless.url}/v1 K1; short={short.url}/v1 K1",
                K1=REAL_KEY,
            ) as web,
        ):
            whose = {"authorization": f"Bearer {key}"}
            async with httpx.AsyncClient(base_url=web.url, timeout=30) as http:
                mine = {"cookie": f"shmastra_session={cookie}"}
                streams = {
                    "cut": everything(
                        http, "POST", CHAT.replace("openai", "endless"), json=ASK, headers=whose
                    ),
                    "whole": everything(
                        http, "POST", CHAT.replace("openai", "short"), json=ASK, headers=whose
                    ),
                    "status": everything(http, "GET", "/api/sandbox/events", headers=mine),
                }
                running = {name: asyncio.create_task(stream) for name, stream in streams.items()}
                socket = asyncio.create_task(
                    closed_with(
                        web.url.replace("http", "ws") + "/api/gateway/openai/v1/realtime?model=gpt-realtime",
                        key,
                    )
                )
                await asyncio.sleep(0.5)
                assert not any(task.done() for task in (*running.values(), socket))
                web.process.send_signal(signal.SIGTERM)
                began = time.monotonic()
                await asyncio.sleep(0.1)
                for path in ("/ready", "/ready?of=web"):
                    answer = await http.get(path)
                    assert (answer.status_code, answer.json()) == (503, {"web": "is about to end"})
                assert (await http.get("/health")).status_code == 200
                said = {}
                for name, task in running.items():
                    said[name], ended = await asyncio.wait_for(task, 10)
                    timings[name] = ended - began
                assert await asyncio.wait_for(socket, 10) == 1012
                with pytest.raises(httpx.ConnectError):
                    await http.get("/health")
            assert await asyncio.to_thread(web.process.wait, 10) == 0
    assert said["whole"].endswith("data: [DONE]\n\n")
    assert said["status"].startswith("event: status")
    assert timings["status"] < 0.6
    last = json.loads(said["cut"].rstrip().rpartition("data: ")[2])
    assert last["error"]["code"] == "cloud_restarting"
    assert 1.9 < timings["cut"] < 6
    rows = await pool.fetch("select provider, ended from usage_events order by 1")
    assert [tuple(row) for row in rows] == [
        ("endless", "cut"),
        ("openai", "client_gone"),
        ("short", "complete"),
    ]


async def test_told_twice_it_waits_for_nobody() -> None:
    end = End(60, 60)
    end.begin()
    assert end.begun.is_set()
    resting = asyncio.create_task(end.rest(60))
    await asyncio.sleep(0)
    end.begin()
    await asyncio.wait_for(resting, 1)


async def test_a_schema_that_is_too_old_is_named(empty_dsn: str, tmp_path: Path) -> None:
    for words in (("web",), ("web", "--only", "gateway"), ("worker",)):
        environ = {"DATABASE_URL": empty_dsn, "SHMASTRA_MASTER_KEY": MASTER_KEY}
        (tmp_path / "studio").mkdir(exist_ok=True)
        (tmp_path / "studio" / "index.html").write_text("<html><head></head></html>")
        done = await asyncio.to_thread(
            shmastra, "--data", str(tmp_path), *words, SHMASTRA_PORT="34567", **environ
        )
        assert done.returncode == 1
        assert b"`shmastra migrate` applies it" in done.stderr
