"""A cloud whose way in is WorkOS, as an application in this process; the stand-in is on a real socket."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from tests.doubles.workos import ENVIRONMENT, WorkOS, workos

from shmastra_cloud.database import Pool, migrate, open_pool
from shmastra_cloud.identity import Sessions, User, Users, Way
from shmastra_cloud.identity.routes import router
from shmastra_cloud.identity.workos import Provider, workos_ways
from shmastra_cloud.identity.workos.checking import Checking
from shmastra_cloud.identity.workos.members import Members
from shmastra_cloud.identity.workos.watching import Watching
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import Settings, load_settings
from shmastra_cloud.web_context import WebContext

URL = "http://127.0.0.1:3000"


@pytest.fixture(scope="module")
def migrated(postgres: str) -> Iterator[str]:
    """Give one database to all tests of a module."""
    name = f"t{secrets.token_hex(6)}"
    dsn = postgres.replace("/postgres?", f"/{name}?")
    asyncio.run(_made(postgres, name, dsn))
    yield dsn
    asyncio.run(_dropped(postgres, name))


async def _made(postgres: str, name: str, dsn: str) -> None:
    control = await asyncpg.connect(postgres)
    await control.execute(f"create database {name}")
    await control.close()
    pool = await open_pool(dsn)
    await migrate(pool)
    await pool.close()


async def _dropped(postgres: str, name: str) -> None:
    control = await asyncpg.connect(postgres)
    await control.execute(f"drop database {name} with (force)")
    await control.close()


@pytest.fixture
async def pool(migrated: str) -> AsyncIterator[Pool]:
    """Give a pool on the module's database, without what the test before left."""
    opened = await open_pool(migrated)
    await opened.execute("truncate users, workos_events, workos_used, workos_codes cascade")
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def shared_double() -> Iterator[WorkOS]:
    with workos() as state:
        yield state


@pytest.fixture
def double(shared_double: WorkOS) -> WorkOS:
    fresh = WorkOS(url=shared_double.url, keys=shared_double.keys)
    vars(shared_double).update(vars(fresh))
    return shared_double


@pytest.fixture
def settings(double: WorkOS, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in {**ENVIRONMENT, "WORKOS_BASE_URL": double.url}.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.fixture
async def provider(settings: Settings) -> AsyncIterator[Provider]:
    made = Provider(settings)
    yield made
    await made.aclose()


@dataclass
class Cloud:
    """The cloud's application and what a test looks at of it."""

    app: FastAPI
    ways: tuple[Way, ...]
    users: Users
    sessions: Sessions
    watching: Watching
    checking: Checking
    members: Members
    double: WorkOS

    @property
    def pool(self) -> Pool:
        return self.users.pool

    def browser(self) -> httpx.AsyncClient:
        """Return a new browser, which follows no redirect by itself."""
        transport = httpx.ASGITransport(self.app)
        return httpx.AsyncClient(transport=transport, base_url=URL)

    async def sign_in(
        self, browser: httpx.AsyncClient, email: str, place: str | None = None
    ) -> httpx.Response:
        """Go to WorkOS and back; returns the callback's answer."""
        started = await browser.get("/login/workos", params={"returnTo": place} if place else {})
        return await browser.get(at_workos(started.headers["location"], email))

    async def who(self, browser: httpx.AsyncClient) -> User | None:
        return await self.sessions.user(browser.cookies.get("shmastra_session"))

    async def find(self, email: str) -> UUID:
        return await self.users.find(email)

    async def row(self, email: str) -> dict[str, object]:
        found = await self.pool.fetchrow("select * from users where email = $1", email)
        assert found is not None
        return dict(found)


def at_workos(location: str, email: str, cloud: str = URL) -> str:
    """Sign in on WorkOS's own page, as a person would, and return the callback it leads back to."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
    base = "{0.scheme}://{0.netloc}".format(urlsplit(location))
    back = httpx.post(f"{base}/authkit/sign-in", data={**query, "email": email}).headers["location"]
    assert back.startswith(f"{cloud}/login/workos/callback?")
    return str(back)


@pytest.fixture
async def cloud(settings: Settings, pool: Pool, vault: Vault, double: WorkOS) -> AsyncIterator[Cloud]:
    users, sessions = Users(pool, vault), Sessions(pool, lambda: False)
    ways = workos_ways(settings, vault, users)
    app = FastAPI()
    for one in (router, *(way.router for way in ways)):
        app.include_router(one)
    app.state.context = WebContext(settings, pool, sessions, ways)
    provider = Provider(settings)
    members = Members(users, provider, settings.workos_admin_roles)
    watching = Watching(pool, provider, members)
    checking = Checking(pool, vault, provider, members)
    yield Cloud(app, ways, users, sessions, watching, checking, members, double)
    await provider.aclose()
    for way in ways:
        for work in way.background:
            work.close()
        for close in reversed(way.closing):
            await close()
