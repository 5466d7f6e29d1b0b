"""Attacks on the way out: whatever is said to the proxy, only listed public hosts are reached."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from sandboxd import egress
from sandboxd.egress import Bounded, proxy, public

Ask = Callable[[bytes], "asyncio.Future[bytes]"]


class Proxy:
    """The proxy on a port of this machine, and what it dialled."""

    def __init__(self, patterns: list[str]) -> None:
        self.patterns = patterns
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listener.setblocking(False)
        self.address = self.listener.getsockname()
        self.served = Bounded(self.listener, proxy(lambda: self.patterns, "i1"))

    async def ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(request)
        try:
            async with asyncio.timeout(10):
                return await reader.read(1000)
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.fixture
async def everything(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """A proxy whose list is ``*``, on a machine where every connection it opens is an offence."""
    made = Proxy(["*"])
    await made.served.start()
    opened = asyncio.open_connection

    async def forbidden(host: str, port: int, **more: object) -> object:
        if (host, port) != made.address:
            raise AssertionError(f"it dialled {host}:{port}")
        return await opened(host, port, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "open_connection", forbidden)
    yield made
    await made.served.aclose()


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1",
        "localhost",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "2852039166",
    ],
)
async def test_no_spelling_of_a_private_address_is_let_out(everything: Proxy, target: str) -> None:
    answer = await everything.ask(f"CONNECT {target}:443 HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["::1"],
        ["93.184.216.34", "10.0.0.1"],
        ["::ffff:10.0.0.1"],
        ["::ffff:169.254.169.254"],
        ["64:ff9b::a00:1"],
        ["2002:a00:1::1"],
        ["fd00:ec2::254"],
        ["fe80::1"],
        [],
    ],
)
async def test_a_name_that_leads_inside_is_not_let_out(
    everything: Proxy, monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    def resolver(_host: str, port: int, **_more: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers]

    monkeypatch.setattr(egress.socket, "getaddrinfo", resolver)
    answer = await everything.ask(b"CONNECT rebound.example.com:443 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET http://169.254.169.254/ HTTP/1.1",
        b"GET http://pypi.org/ HTTP/1.1",
        b"POST http://127.0.0.1/ HTTP/1.1",
        b"CONNECT pypi.org:22 HTTP/1.1",
        b"CONNECT pypi.org:0 HTTP/1.1",
        b"CONNECT pypi.org:99999 HTTP/1.1",
        b"CONNECT pypi.org HTTP/1.1",
        b"CONNECT user@pypi.org:443 HTTP/1.1",
        b"CONNECT [::1]:443 HTTP/1.1",
        b"CONNECT [::ffff:127.0.0.1]:443 HTTP/1.1",
        b"CONNECT pypi.org:443:443 HTTP/1.1",
        b"CONNECT pypi.org\x00.evil.com:443 HTTP/1.1",
        b"CONNECT pypi.org:443 HTTP/1.1 HTTP/1.1",
        b"CONNECT  pypi.org:443 HTTP/1.1",
        b"connect pypi.org:443 HTTP/1.1",
        b"CONNECT pypi.org:443 HTTP/2.0",
        b"CONNECT \xd1\x80ypi.org:443 HTTP/1.1",
        b"CONNECT pypi.org:443 HTTP/1.1\nHost: evil",
    ],
)
async def test_whatever_is_not_a_plain_connect_is_refused(everything: Proxy, request_line: bytes) -> None:
    answer = await everything.ask(request_line + b"\r\nHost: 127.0.0.1\r\nX: CONNECT a:443\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403")


async def test_headers_choose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made, dialled = Proxy(["listed.example.com"]), []
    await made.served.start()

    async def resolved(host: str, _port: int) -> str:
        dialled.append(host)
        raise egress.Refused("seen")

    monkeypatch.setattr(egress, "resolve", resolved)
    smuggled = b"\r\nHost: evil.example.com\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n"
    await made.ask(
        b"CONNECT listed.example.com:443 HTTP/1.1"
        + smuggled
        + b"CONNECT evil.example.com:443 HTTP/1.1\r\n\r\n"
    )
    await made.ask(b"CONNECT evil.example.com:443 HTTP/1.1\r\nHost: listed.example.com\r\n\r\n")
    await made.ask(b"CONNECT listed.example.com.evil.com:443 HTTP/1.1\r\n\r\n")
    assert dialled == ["listed.example.com"]
    await made.served.aclose()


async def test_who_speaks_slowly_or_endlessly_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress, "HEAD_SECONDS", 0.3)
    made = Proxy(["*"])
    await made.served.start()
    for begun in (b"", b"CONNECT", b"CONNECT a:443 HTTP/1.1\r\nX: y\r\n", b"x" * 200_000):
        assert await made.ask(begun) == b""
    await made.served.aclose()


async def test_only_so_many_connections_are_held_and_others_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress, "HEAD_SECONDS", 60)
    made = Proxy(["*"])
    await made.served.start()
    held = [await asyncio.open_connection(*made.address) for _ in range(egress.MAX_CONNECTIONS)]
    while len(made.served._tasks) < egress.MAX_CONNECTIONS:
        await asyncio.sleep(0.01)
    for _ in range(20):
        assert await made.ask(b"CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n") == b""
    held.pop()[1].close()
    while len(made.served._tasks) >= egress.MAX_CONNECTIONS:
        await asyncio.sleep(0.01)
    assert (await made.ask(b"CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 403")
    for _, writer in held:
        writer.close()
    await made.served.aclose()


async def test_names_that_do_not_resolve_hold_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    wait = threading.Event()
    monkeypatch.setattr(egress.socket, "getaddrinfo", lambda *_a, **_k: wait.wait(20) and [])
    monkeypatch.setattr(egress, "RESOLVE_SECONDS", 0.3)
    made = Proxy(["*"])
    await made.served.start()
    asked = [asyncio.create_task(made.ask(b"CONNECT a.example.com:443 HTTP/1.1\r\n\r\n")) for _ in range(50)]
    async with asyncio.timeout(5):
        await asyncio.to_thread(int)
    assert all([(await one).startswith(b"HTTP/1.1 403") for one in asked])
    wait.set()
    await made.served.aclose()


@pytest.mark.parametrize(
    ("address", "is_public"),
    [("1.1.1.1", True), ("2606:4700::1111", True), ("2001:0:7f00:1::", False), ("::127.0.0.1", False)],
)
def test_public_is_what_holds_nothing_private(address: str, is_public: bool) -> None:
    assert public(address) is is_public


async def test_a_connection_lives_while_either_way_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress, "IDLE_SECONDS", 0.4)

    done = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(10):
            writer.write(b"x")
            await asyncio.sleep(0.1)
        await reader.read()
        writer.close()
        done.set()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    upstream = server.sockets[0].getsockname()

    async def resolved(_host: str, _port: int) -> str:
        return "127.0.0.1"

    monkeypatch.setattr(egress, "resolve", resolved)
    monkeypatch.setattr(egress, "PORTS", {upstream[1]})
    made = Proxy(["*"])
    await made.served.start()
    reader, writer = await asyncio.open_connection(*made.address)
    writer.write(f"CONNECT a:{upstream[1]} HTTP/1.1\r\n\r\n".encode())
    async with asyncio.timeout(10):
        told = await reader.read(-1)
    assert told == b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 10
    writer.close()
    async with asyncio.timeout(10):
        await done.wait()
    await made.served.aclose()
    server.close()
    await asyncio.sleep(0.05)
