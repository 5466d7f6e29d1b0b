import asyncio
import json
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.doubles.llm_provider import REAL_KEY
from tests.doubles.realtime import Realtime, realtime
from tests.httprelay.certificates import Authority
from tests.shmastra_cloud.webs import MASTER_KEY, web_process
from tests.support.cloud import wait_until
from websockets.asyncio.client import connect, unix_connect
from websockets.exceptions import InvalidStatus

from sandboxd.egress import Bounded, to_socket
from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault

PATH = "/api/gateway/openai/v1/realtime?model=gpt-realtime"


async def talk(dialled: Any) -> None:
    async with dialled as there:
        assert json.loads(await there.recv())["type"] == "session.created"
        await there.send(json.dumps({"type": "response.create"}))
        while json.loads(await asyncio.wait_for(there.recv(), 5))["type"] != "response.done":
            continue


async def refused(url: str, **options: Any) -> int:
    with pytest.raises(InvalidStatus) as caught:
        await connect(url, proxy=None, **options)
    return caught.value.response.status_code


@pytest.mark.parametrize("words", [(), ("--only", "gateway")])
async def test_a_websocket_to_the_gateway_opens_on_every_socket_and_nowhere_else(
    dsn: str, tmp_path: Path, pool: Pool, vault: Vault, words: tuple[str, ...]
) -> None:
    users, double = Users(pool, vault), Realtime()
    key = await users.virtual_key(await users.invite("ann@example.com"))
    bearer = {"additional_headers": {"Authorization": f"Bearer {key}"}}
    environ = {"DATABASE_URL": dsn, "OPENAI_API_KEY": REAL_KEY, "SHMASTRA_MASTER_KEY": MASTER_KEY}
    environ |= {"SHMASTRA_ENGINE_URL": "http://127.0.0.1:1", "SHMASTRA_ENGINE_KEY": "e2b_test"}
    async with realtime(double) as base:
        with web_process(tmp_path, *words, OPENAI_BASE_URL=base, **environ) as web:
            url = web.url.replace("http", "ws", 1)
            await talk(connect(url + PATH, proxy=None, origin=web.url, **bearer))
            for path in ("/api/mastra/x", "/studio", "/api/gateway", "/", "/api/gateway/%2e%2e/mastra/x"):
                assert await refused(url + path, **bearer) == 400
            other = {"host": "127.0.0.1", "port": int(web.url.rpartition(":")[2])}
            assert await refused(f"ws://evil.example{PATH}", **other, **bearer) == 421
            assert await refused(url + PATH, origin="https://evil.example", **bearer) == 403
            assert await refused(url + PATH) == 401
            if not words:
                await from_a_sandbox(tmp_path / "run", bearer)
        log = web.log.read_text()
    assert len(double.asked) == (1 if words else 3)
    assert not {key, REAL_KEY} & set(log.split())
    assert key not in log
    rows = await pool.fetch("select model, input_tokens, status, ended from usage_events")
    assert {tuple(row) for row in rows} == {("gpt-realtime", 120, 101, "complete")}
    assert len(rows) == len(double.asked)


async def test_a_websocket_over_tls_outlives_a_renewed_certificate(
    dsn: str, tmp_path: Path, pool: Pool, vault: Vault
) -> None:
    users, authority = Users(pool, vault), Authority(tmp_path)
    key = await users.virtual_key(await users.invite("ann@example.com"))
    bearer: Any = {"additional_headers": {"Authorization": f"Bearer {key}"}}
    cert, private = authority.files("127.0.0.1")
    environ = {"DATABASE_URL": dsn, "OPENAI_API_KEY": REAL_KEY}
    environ |= {"SHMASTRA_TLS_CERT": str(cert), "SHMASTRA_TLS_KEY": str(private)}
    trusting = ssl.create_default_context(cafile=authority.file)
    async with realtime(Realtime()) as base:
        with web_process(tmp_path, "--only", "gateway", OPENAI_BASE_URL=base, **environ) as web:
            port = int(web.url.rpartition(":")[2])
            url = f"wss://127.0.0.1:{port}{PATH}"
            async with connect(url, ssl=trusting, proxy=None, **bearer) as there:
                await there.recv()
                before = shown(port)
                authority.files("127.0.0.1")
                web.process.send_signal(signal.SIGHUP)
                await asyncio.to_thread(wait_until, lambda: shown(port) != before, 5, "the new certificate")
                await there.send(json.dumps({"type": "response.create"}))
                while json.loads(await asyncio.wait_for(there.recv(), 5))["type"] != "response.done":
                    continue
            plain = await asyncio.to_thread(httpx.get, f"{web.url}/ready", verify=trusting)
            assert plain.status_code == 200


def shown(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=5)


async def from_a_sandbox(run: Path, bearer: Any) -> None:
    """Open one on the sandboxes' own socket, and one through what leads there from inside a sandbox."""
    await talk(unix_connect(str(run / "sandbox.sock"), f"ws://127.0.0.1:4000{PATH}", **bearer))
    listener = socket.create_server(("127.0.0.1", 0))
    forwarder = Bounded(listener, to_socket(run / "sandbox.sock"))
    await forwarder.start()
    try:
        port = listener.getsockname()[1]
        origin: Any = "http://127.0.0.1:4000"
        address = {"host": "127.0.0.1", "port": port}
        await talk(connect(f"ws://127.0.0.1:4000{PATH}", proxy=None, origin=origin, **address, **bearer))
    finally:
        await forwarder.aclose()
