import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
import uvicorn
from tests.doubles.engine import Works

from httprelay import BoundedHttpProtocol
from httprelay import Pool as UpstreamPool
from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Sessions
from shmastra_cloud.settings import load_settings
from shmastra_cloud.workspaces import Activity, Dial, MastraRelay, Resumer, Watch, Workspaces


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    config = uvicorn.Config(
        app, port=0, http=BoundedHttpProtocol, ws="none", lifespan="off", log_level="critical"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


class Service:
    """Answers as the sandbox service does: with what it was sent, or 502 for what is paused."""

    def __init__(self, engine: Works) -> None:
        self.engine = engine
        self.seen: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.status = 200
        self.restarting = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        sent, more = b"", True
        while more:
            message = await receive()
            sent += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(sent)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.seen.append(headers)
        running = headers["e2b-sandbox-id"] not in self.engine.paused
        body = json.dumps({"path": scope["raw_path"].decode(), "query": scope["query_string"].decode()})
        if not running:
            body = '{"sandboxId":"x","message":"The sandbox was not found","code":502}'
        elif self.restarting:
            self.restarting -= 1
            running = False
            body = '{"sandboxId":"x","message":"The sandbox is running but port is not open","code":502}'
        out = [(b"set-cookie", b"shmastra_session=evil"), (b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": self.status if running else 502, "headers": out})
        await send({"type": "http.response.body", "body": body.encode()})


@dataclass
class World:
    """The relay, its neighbours and a signed-in browser."""

    engine: Works
    service: Service
    browser: httpx.AsyncClient
    activity: Activity


@pytest.fixture
async def world(
    store: Workspaces, pool: Pool, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    engine = Works()
    service = Service(engine)
    row = await store.ensure(user_id)
    made = await engine.create(row.id, "x")
    async with serving(service) as url:
        monkeypatch.setenv("SHMASTRA_ENGINE_URL", url)
        settings = load_settings()
        activity = Activity(store, 600)
        upstream = UpstreamPool()
        await pool.execute("update sandboxes set status = 'ready', sandbox_id = $1, env_version = 1", made.id)
        app = MastraRelay(
            settings=settings,
            sessions=Sessions(pool),
            watch=Watch(store, lambda: False),
            resumer=Resumer(store, cast("Any", engine)),
            activity=activity,
            dial=Dial(settings),
            pool=upstream,
        )
        cookies = {"shmastra_session": await Sessions(pool).start(user_id)}
        async with serving(app) as here, httpx.AsyncClient(base_url=here, cookies=cookies) as browser:
            yield World(engine, service, browser, activity)
        await upstream.aclose()


async def test_a_request_reaches_the_users_own_sandbox_without_the_session(world: World) -> None:
    evil = {"e2b-sandbox-id": "another", "authorization": "Bearer x", "x-forwarded-for": "1.2.3.4"}
    answer = await world.browser.get("/api/mastra/agents?page=1", headers=evil)
    assert answer.json() == {"path": "/api/mastra/agents", "query": "page=1"}
    [seen] = world.service.seen
    assert seen["e2b-sandbox-id"] == next(iter(world.engine.sandboxes))
    assert seen["x-mastra-auth-token"]
    assert not {"cookie", "authorization", "x-forwarded-for"} & set(seen)
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-security-policy"].startswith("sandbox")


async def test_who_is_not_signed_in_or_comes_from_elsewhere_is_refused(world: World) -> None:
    async with httpx.AsyncClient(base_url=world.browser.base_url) as stranger:
        assert (await stranger.get("/api/mastra/agents")).status_code == 401
    for headers in ({}, {"origin": "https://evil.example"}, {"sec-fetch-site": "same-site"}):
        answer = await world.browser.post("/api/mastra/agents/a/generate", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_origin")
    assert world.service.seen == []


@pytest.mark.parametrize("path", ["/api/mastra/a%2fb", "/api/mastra//x", "/api/mastra/%2e%2e/x"])
async def test_a_path_that_could_be_read_in_two_ways_is_refused(world: World, path: str) -> None:
    url = httpx.URL(world.browser.base_url, raw_path=path.encode())
    assert (await world.browser.get(url)).status_code == 400
    assert world.service.seen == []


async def test_a_change_wakes_a_paused_sandbox_a_mere_read_does_not(world: World, pool: Pool) -> None:
    world.engine.paused |= set(world.engine.sandboxes)
    await pool.execute("update sandboxes set status = 'paused'")
    asleep = await world.browser.get("/api/mastra/agents")
    assert (asleep.status_code, asleep.json()["code"]) == (503, "paused")
    assert world.engine.paused
    awake = await world.browser.post("/api/mastra/x", headers={"sec-fetch-site": "same-origin"})
    assert awake.status_code == 200
    assert not world.engine.paused


async def test_a_sandbox_that_the_service_paused_by_itself_is_resumed_and_asked_again(world: World) -> None:
    world.engine.paused |= set(world.engine.sandboxes)
    answer = await world.browser.get("/api/mastra/agents")
    assert answer.status_code == 200
    assert len(world.service.seen) == 2


async def test_a_change_with_a_body_is_sent_again_whole_after_resuming(world: World) -> None:
    world.engine.paused |= set(world.engine.sandboxes)

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one ", b"two ", b"three"):
            await asyncio.sleep(0.01)
            yield piece

    same = {"sec-fetch-site": "same-origin"}
    answer = await world.browser.post("/api/mastra/agents/a/stream", headers=same, content=pieces())
    assert answer.status_code == 200
    assert world.service.bodies == [b"one two three"] * 2


async def test_a_dev_server_that_starts_anew_is_waited_for(world: World) -> None:
    world.service.restarting = 3
    same = {"sec-fetch-site": "same-origin"}
    answer = await world.browser.post("/api/mastra/agents/a/stream", headers=same, json={"x": 1})
    assert answer.status_code == 200
    assert world.service.bodies == [b'{"x":1}'] * 4


async def test_what_is_too_long_to_keep_is_not_sent_again(world: World) -> None:
    world.engine.paused |= set(world.engine.sandboxes)
    same = {"sec-fetch-site": "same-origin"}
    answer = await world.browser.post("/api/mastra/files", headers=same, content=b"x" * 2_000_000)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "paused", "1")
    assert len(world.service.seen) == 1


async def test_a_sandboxs_own_502_is_passed_on_once(world: World) -> None:
    world.service.status = 502
    answer = await world.browser.post("/api/mastra/x", headers={"sec-fetch-site": "same-origin"}, json={})
    assert (answer.status_code, answer.json()["path"]) == (502, "/api/mastra/x")
    assert len(world.service.seen) == 1


async def test_a_wait_that_takes_too_long_ends_with_when_to_come_back(
    world: World, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shmastra_cloud.workspaces.relay.WAIT_SECONDS", 0.2)
    await pool.execute("update sandboxes set status = 'provisioning'")
    answer = await world.browser.get("/api/mastra/agents")
    assert (answer.status_code, answer.json()["code"]) == (503, "provisioning")
    assert answer.headers["retry-after"] == "5"


async def test_a_broken_workspace_says_so(world: World, pool: Pool) -> None:
    await pool.execute("update sandboxes set status = 'broken'")
    answer = await world.browser.get("/api/mastra/agents")
    assert (answer.status_code, answer.json()["code"]) == (503, "broken")
    assert answer.headers["retry-after"]
