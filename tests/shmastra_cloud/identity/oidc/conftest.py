from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from tests.shmastra_cloud.webs import MASTER_KEY, Web, web_process
from tests.support.openid_provider import OpenIdProvider, openid_provider

from shmastra_cloud.database import migrate, open_pool

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run in a thread, since a browser's loop may be running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result(60)


@dataclass
class World:
    """A cloud that people sign in to through a real provider."""

    web: Web
    provider: OpenIdProvider
    dsn: str

    def browser(self) -> httpx.Client:
        """Give a browser at an address of its own."""
        address = f"198.51.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
        headers = {"origin": self.web.url, "x-forwarded-for": address}
        return httpx.Client(base_url=self.web.url, headers=headers, timeout=30)

    def sign_in(self, browser: httpx.Client, sub: str, start: str = "/login/oidc") -> httpx.Response:
        return self.provider.sign_in(browser, start, sub)

    def walk(self, browser: httpx.Client, sub: str) -> str:
        """Sign in at the provider only; gives the address that it sends the browser back to."""
        return self.provider.walk(browser, "/login/oidc", sub)

    def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        async def ask() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.dsn)
            try:
                return await connection.fetch(query, *arguments)
            finally:
                await connection.close()

        return run(ask())


@contextmanager
def world(
    postgres: str, folder: Path, *, given: dict[str, Any] | None = None, **environ: str
) -> Iterator[World]:
    async def database(dsn: str) -> None:
        control = await asyncpg.connect(postgres)
        await control.execute(f"create database {name}")
        await control.close()
        pool = await open_pool(dsn)
        await migrate(pool)
        await pool.close()

    name = f"o{secrets.token_hex(6)}"
    dsn = postgres.replace("/postgres?", f"/{name}?")
    run(database(dsn))
    with openid_provider(**(given or {})) as provider:
        whole = {
            "DATABASE_URL": dsn,
            "SHMASTRA_PORT": str(urlsplit(provider.cloud).port),
            "SHMASTRA_ENGINE_URL": "http://127.0.0.1:1",
            "SHMASTRA_ENGINE_KEY": "e2b_test",
            "SHMASTRA_MASTER_KEY": MASTER_KEY,
            "SHMASTRA_TRUSTED_PROXIES": "127.0.0.1",
            **provider.environ,
            **environ,
        }
        with web_process(folder, **{key: value for key, value in whole.items() if value}) as web:
            yield World(Web(provider.cloud, web.data, web.log, web.process), provider, dsn)


@pytest.fixture(scope="module")
def shared(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One cloud for a module's tests; each uses people of its own."""
    with world(postgres, tmp_path_factory.mktemp("oidc"), OIDC_CHECK_SECONDS="2") as made:
        yield made


@pytest.fixture
def until() -> Callable[[Callable[[], bool], float], float]:
    """Wait for something to be true; gives after how many seconds it was."""
    import time

    def wait(true: Callable[[], bool], seconds: float) -> float:
        begun = time.monotonic()
        while not true():
            assert time.monotonic() - begun < seconds, "it stayed untrue"
            time.sleep(0.05)
        return time.monotonic() - begun

    return wait
