import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI

from httprelay import OpenStreams
from shmastra_cloud.database import Pool
from shmastra_cloud.draining import Draining
from shmastra_cloud.identity import Sessions, User, Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.studio import Bundle, StudioParts, router
from shmastra_cloud.studio.routes import _refreshes
from shmastra_cloud.web_context import Admitted, WebContext


class World:
    """A signed-in browser, and whether his sandbox is ready."""

    ready = True

    def __init__(self) -> None:
        self.opened: list[UUID] = []

    async def is_ready(self, _user: UUID) -> bool:
        return self.ready


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def browser(pool: Pool, vault: Vault, folder: Path, world: World) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(router)
    app.state.context = WebContext(load_settings(), pool, Sessions(pool))
    bundle = Bundle(folder, "http://127.0.0.1:3000")
    app.state.studio = StudioParts(bundle, world.is_ready, world.opened.append)
    user = await Users(pool, vault).invite("ann@example.com")
    cookies = {"shmastra_session": await Sessions(pool).start(user)}
    transport = httpx.ASGITransport(app)
    here = "http://127.0.0.1:3000"
    async with httpx.AsyncClient(transport=transport, base_url=here, cookies=cookies) as client:
        yield client


async def test_any_path_of_studio_is_its_page_under_a_strict_policy(
    browser: httpx.AsyncClient, world: World
) -> None:
    for path in ("/studio", "/studio/agents/assistant"):
        answer = await browser.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "connect-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
    assert len(world.opened) == 2


async def test_assets_are_immutable_and_compressed(browser: httpx.AsyncClient, world: World) -> None:
    answer = await browser.get("/studio/assets/main.js")
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.text.startswith("let x")
    plain = await browser.get("/studio/assets/main.js", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert world.opened == []


async def test_who_has_no_ready_sandbox_goes_to_the_start_up_page_and_back(
    browser: httpx.AsyncClient, world: World
) -> None:
    world.ready = False
    answer = await browser.get("/studio/agents?x=1")
    assert answer.headers["location"] == "/workspace?returnTo=%2Fstudio%2Fagents%3Fx%3D1"
    browser.cookies.clear()
    assert (await browser.get("/studio")).headers["location"] == "/"
    assert (await browser.get("/studio/refresh-events")).status_code == 401


async def test_the_refresh_stream_says_that_it_is_connected() -> None:
    draining, who = Draining(), _admitted()
    stream = _refreshes(draining, who)
    assert await anext(stream) == {"data": "connected"}
    draining.begin()
    assert [one async for one in stream] == []


async def test_the_refresh_stream_ends_as_soon_as_its_session_does() -> None:
    who = _admitted()
    stream = _refreshes(Draining(), who)
    assert await anext(stream) == {"data": "connected"}
    cutting = asyncio.create_task(who.streams.run())
    who.streams.ended(who.session)
    async with asyncio.timeout(1):
        assert [one async for one in stream] == []
    cutting.cancel()
    assert len(who.streams) == 0


def _admitted() -> Admitted:
    async def nobody(_asked: Any) -> list[bytes]:
        return []

    return Admitted(User(uuid4(), "ann@example.com", "member"), b"s", 0, OpenStreams(nobody))


async def test_a_note_stands_above_studio_where_there_is_one(folder: Path) -> None:
    bundle = Bundle(folder, "http://127.0.0.1:3000")
    assert "shmastra-note" not in bundle.page("n")
    assert ">set A &amp; B&lt;</p>" in bundle.page("n", "set A & B<")
