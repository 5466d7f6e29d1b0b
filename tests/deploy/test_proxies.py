"""The examples of deploy/, run for real: what a proxy must not hold back, cut, change or make up."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.deploy.proxies import DEPLOY, proxy
from tests.doubles.llm_provider import REAL_KEY
from tests.doubles.realtime import Realtime, realtime_in_a_thread
from tests.httprelay.certificates import Authority
from tests.shmastra_cloud.webs import MASTER_KEY, Web, web_process
from tests.support.cloud import free_port
from tests.support.serving import served
from websockets.asyncio.client import connect

from shmastra_cloud.database import migrate, open_pool
from shmastra_cloud.doctor import public
from shmastra_cloud.doctor.public import reach
from shmastra_cloud.identity import Users
from shmastra_cloud.reach import HEADER, PATH, question
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings

VAULT = Vault(b"k" * 32)
PROXIES = ("nginx", "caddy")
REST = 0.4
LONG = 24 * 1024 * 1024
CLIENT = "127.0.0.2"
GATEWAY = "/api/gateway/acme/v1"


class Upstream:
    """A provider: streams with a rest in between, takes uploads, gives long answers."""

    def __init__(self) -> None:
        self.arrived = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith("/chat/completions"):
            await self.stream(send)
        elif scope["path"].endswith("/audio/speech"):
            await answer(send, b"audio/mpeg", b"x" * LONG)
        else:
            await self.take(receive, send)

    async def stream(self, send: Any) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream")],
            }
        )
        for _ in range(2):
            await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True})
            await asyncio.sleep(REST)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    async def take(self, receive: Any, send: Any) -> None:
        self.arrived, more = 0, True
        while more:
            message = await receive()
            self.arrived += len(message.get("body", b""))
            more = message.get("more_body", False)
        await answer(send, b"application/json", json.dumps({"text": str(self.arrived)}).encode())


async def answer(send: Any, kind: bytes, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Here:
    """A cloud behind each of the proxies."""

    web: Web
    upstream: Upstream
    key: str
    urls: dict[str, str]
    trusting: ssl.SSLContext
    folder: Path

    def client(self, name: str, address: str = CLIENT) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(verify=self.trusting, local_address=address)
        whose = {"authorization": f"Bearer {self.key}"}
        return httpx.AsyncClient(base_url=self.urls[name], transport=transport, headers=whose, timeout=20)


@pytest.fixture(scope="module")
def here(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    folder = tmp_path_factory.mktemp("proxies")
    dsn, key = asyncio.run(prepare(postgres))
    authority = Authority(folder)
    files = authority.files("localhost")
    ports = {name: free_port() for name in PROXIES}
    upstream = Upstream()
    with ExitStack() as running:
        provider = running.enter_context(served(upstream))
        talking = running.enter_context(realtime_in_a_thread(Realtime()))
        web = running.enter_context(
            web_process(
                folder,
                DATABASE_URL=dsn,
                SHMASTRA_MASTER_KEY=MASTER_KEY,
                SHMASTRA_ENGINE_URL="http://127.0.0.1:1",
                SHMASTRA_ENGINE_KEY="e2b_test",
                SHMASTRA_PROVIDERS=f"acme={provider.url}/v1 ACME_KEY",
                SHMASTRA_GATEWAY_ALLOW="acme: POST /audio/speech; acme: POST /audio/transcriptions",
                ACME_KEY=REAL_KEY,
                OPENAI_API_KEY=REAL_KEY,
                OPENAI_BASE_URL=talking,
                SHMASTRA_PUBLIC_URL=f"https://localhost:{ports['nginx']}",
                SHMASTRA_TRUSTED_PROXIES="127.0.0.1",
            )
        )
        for name in PROXIES:
            running.enter_context(
                proxy(name, folder / name, [web.url.removeprefix("http://")], ports[name], files)
            )
        urls = {name: f"https://localhost:{ports[name]}" for name in PROXIES} | {"none": web.url}
        trusting = ssl.create_default_context(cafile=authority.file)
        yield Here(web, upstream, key, urls, trusting, folder)


async def prepare(postgres: str) -> tuple[str, str]:
    """Make a database with a user in it; return its address, and the user's key."""
    control = await open_pool(postgres)
    await control.execute("drop database if exists proxies with (force)")
    await control.execute("create database proxies")
    await control.close()
    dsn = postgres.replace("/postgres?", "/proxies?")
    pool = await open_pool(dsn)
    try:
        await migrate(pool)
        users = Users(pool, VAULT)
        return dsn, await users.virtual_key(await users.invite("ann@example.com"))
    finally:
        await pool.close()


@pytest.mark.parametrize("name", PROXIES)
async def test_an_event_arrives_when_it_is_sent(here: Here, name: str) -> None:
    began = time.monotonic()
    times = []
    async with (
        here.client(name) as http,
        http.stream("POST", f"{GATEWAY}/chat/completions", json={"model": "m", "stream": True}) as answer,
    ):
        assert answer.headers["content-type"] == "text/event-stream"
        async for _ in answer.aiter_raw():
            times.append(time.monotonic() - began)  # noqa: PERF401 -- when each came
    assert times[0] < REST / 2
    assert REST <= times[1] < times[0] + REST * 1.5
    assert times[-1] >= 2 * REST


async def halves(here: Here, seen: asyncio.Future[int], size: int) -> AsyncIterator[bytes]:
    """Give an upload in two parts, the second once the provider has much of the first, or too late."""
    head = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper\r\n'
    file = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    half = b"x" * (size // 2)
    yield head + file + half
    for _ in range(200):
        if here.upstream.arrived > size // 4:
            break
        await asyncio.sleep(0.02)
    seen.set_result(here.upstream.arrived)
    yield half + b"\r\n--b--\r\n"


@pytest.mark.parametrize("name", PROXIES)
async def test_an_upload_goes_on_while_it_comes(here: Here, name: str) -> None:
    here.upstream.arrived = 0
    seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    form = {"content-type": "multipart/form-data; boundary=b"}
    async with here.client(name) as http:
        sending = halves(here, seen, LONG)
        answer = await http.post(f"{GATEWAY}/audio/transcriptions", content=sending, headers=form)
    assert answer.status_code == 200
    assert int(answer.json()["text"]) > LONG
    assert seen.result() > LONG // 4
    assert not [
        path for path in (here.folder / name).rglob("*") if path.is_file() and "client_body" in str(path)
    ]


@pytest.mark.parametrize("name", PROXIES)
async def test_a_long_answer_arrives_whole(here: Here, name: str) -> None:
    async with here.client(name) as http:
        answer = await http.post(f"{GATEWAY}/audio/speech", json={"model": "tts", "input": "x"})
    assert len(answer.content) == LONG


@pytest.mark.parametrize("name", PROXIES)
async def test_a_websocket_passes(here: Here, name: str) -> None:
    url = here.urls[name].replace("https", "wss") + "/api/gateway/openai/v1/realtime?model=gpt-realtime"
    bearer = {"Authorization": f"Bearer {here.key}"}
    async with connect(url, ssl=here.trusting, additional_headers=bearer, proxy=None) as socket:
        assert json.loads(await socket.recv())["type"] == "session.created"
        await socket.send(json.dumps({"type": "response.create"}))
        while json.loads(await asyncio.wait_for(socket.recv(), 5))["type"] != "response.done":
            continue


@pytest.mark.parametrize("name", PROXIES)
async def test_a_head_is_as_long_as_the_cloud_allows_and_no_longer(here: Here, name: str) -> None:
    async with here.client(name) as http:
        fits = await http.get("/health", headers={f"x-{at}": "a" * 20_000 for at in range(3)})
        assert fits.status_code == 200
        beyond = await http.get("/health", headers={f"x-{at}": "a" * 20_000 for at in range(4)})
        assert beyond.status_code == 431


async def arrived(http: httpx.AsyncClient, **headers: str) -> dict[str, Any]:
    asking = {HEADER: question(VAULT), **headers}
    async with http.stream("GET", PATH, headers=asking) as answer:
        assert answer.status_code == 200
        lines = [line async for line in answer.aiter_lines()]
    found: dict[str, Any] = json.loads(lines[1].removeprefix("data: "))
    return found


FORGED = {"x-forwarded-for": "6.6.6.6", "forwarded": "for=6.6.6.6", "x-forwarded-proto": "http"}


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("forged", [{}, FORGED], ids=["plain", "forged"])
async def test_the_client_is_who_asked_the_proxy(here: Here, name: str, forged: dict[str, str]) -> None:
    async with here.client(name) as http:
        told = await arrived(http, **forged)
    host = here.urls[name].removeprefix("https://")
    wanted: dict[str, Any] = {"peer": "127.0.0.1", "client": CLIENT, "scheme": "https", "host": host}
    wanted |= {"believed": True, "forwarded": True}
    assert told == wanted


async def test_who_is_no_proxy_is_not_believed(here: Here) -> None:
    async with here.client("none") as http:
        told = await arrived(http, **FORGED)
        assert (told["client"], told["scheme"]) == (CLIENT, "http")
        assert (await http.get(PATH, headers={HEADER: "bm9uc2Vuc2U="})).status_code == 404
        assert (await http.get(PATH)).status_code == 404


@pytest.mark.parametrize("name", PROXIES)
async def test_the_doctor_finds_the_examples_as_they_should_be(
    here: Here, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMASTRA_PUBLIC_URL", here.urls[name])
    untrusted = await reach(load_settings(), VAULT)
    assert (untrusted.status, "not trusted" in untrusted.detail) == ("failed", True)
    monkeypatch.setenv("SSL_CERT_FILE", str(here.folder / "authority.pem"))
    found = await reach(load_settings(), VAULT)
    assert (found.status, found.fix) == ("warning", "Renew it; is what renews it running?")  # it is for a day
    monkeypatch.setattr(public, "SOON", dt.timedelta(hours=1))
    found = await reach(load_settings(), VAULT)
    assert found.status == "ok"
    assert "through 127.0.0.1, certificate until" in found.detail


async def test_nginx_leads_from_http_to_https(here: Here) -> None:
    listening = next(
        line
        for line in (here.folder / "nginx/shmastra.conf").read_text().splitlines()
        if "listen" in line and "ssl" not in line
    )
    port = listening.strip(" ;").rpartition(":")[2]
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"http://localhost:{port}/workspace?a=b")
    assert (answer.status_code, answer.headers["location"]) == (308, "https://localhost/workspace?a=b")


def test_no_time_out_of_a_proxy_is_shorter_than_the_clouds() -> None:
    nginx, caddy = ((DEPLOY / name).read_text() for name in ("nginx.conf", "Caddyfile"))
    assert "proxy_read_timeout      3600s" in nginx
    assert "response_header_timeout 1h" in caddy
