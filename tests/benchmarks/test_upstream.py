from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from benchmarks.certificates import make
from benchmarks.load import body, head, whole
from benchmarks.stage import Server
from benchmarks.upstream import Provider

ASKED = Server("provider", 1, None, ["k"])


async def answered(text: str, folder: Path, read: int = -1) -> bytes:
    """Ask a provider behind TLS, through the authority that signed its certificate."""
    made = make(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made.certificate, made.key)
    trust = ssl.create_default_context(cafile=str(made.authority))
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0, ssl=tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trust, server_hostname="localhost"
        )
        writer.write(head(ASKED, "k", text))
        found = b""
        try:
            while not whole(found) and len(found) != read:
                data = await reader.read(65536)
                if not data:
                    break
                found += data
        except ConnectionResetError:
            pass
        writer.transport.abort()
    return found


async def test_it_answers_json_and_the_error_that_is_asked_for(tmp_path: Path) -> None:
    assert (await answered(body(), tmp_path)).startswith(b"HTTP/1.1 200 OK\r\n")
    assert (await answered(body("status-429"), tmp_path)).startswith(b"HTTP/1.1 429 ")


async def test_a_stream_brings_its_events_then_usage_and_its_end(tmp_path: Path) -> None:
    found = await answered(body("pace-1-3-x", stream=True), tmp_path)
    assert found.count(b'"delta"') == 3
    assert found.index(b'"usage"') > found.rindex(b'"delta"')
    assert b"data: [DONE]" in found


@pytest.mark.parametrize(("how", "begun"), [("drop", False), ("cut", True)])
async def test_it_breaks_off_where_that_is_asked_for(how: str, begun: bool, tmp_path: Path) -> None:
    found = await answered(body(how), tmp_path)
    assert bool(found) is begun
    assert not whole(found)
