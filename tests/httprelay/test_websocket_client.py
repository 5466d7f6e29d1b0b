import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.httprelay.support import raw_upstream
from websockets.asyncio.server import ServerConnection, serve, unix_serve
from websockets.frames import Frame, Opcode

from httprelay import (
    ConnectFailed,
    HandshakeRefused,
    RelayError,
    Target,
    UnsafeRequest,
    UpstreamClosed,
    UpstreamProtocolError,
    UpstreamTimeout,
    websocket_client,
)
from httprelay.websocket_client import MESSAGE_BYTES, Closed, Sockets, Upstream, sendable, short

HEADERS = [(b"authorization", b"Bearer real"), (b"accept-encoding", b"identity")]
Handler = Callable[[ServerConnection], Awaitable[None]]


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


@asynccontextmanager
async def upstream(handler: Handler = echo, **options: Any) -> AsyncIterator[Target]:
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield Target("127.0.0.1", port, tls="ssl" in options)


async def dial(target: Target, path: bytes = b"/v1/x?model=m", names: list[str] | None = None) -> Upstream:
    async with asyncio.timeout(10):
        return await Sockets().open(target, path, HEADERS, names or [], connect_seconds=5)


async def test_what_is_sent_is_what_was_given() -> None:
    seen: list[Any] = []

    async def handler(socket: ServerConnection) -> None:
        seen.append(socket.request)
        await echo(socket)

    async with upstream(handler, subprotocols=["realtime"], max_size=None) as target:  # type: ignore[list-item]
        socket = await dial(target, names=["realtime", "other"])
        assert socket.subprotocol == "realtime"
        for message in ("grüß", b"\x00\xff", "", "x" * 3_000_000):
            await socket.send(message)
            assert await socket.receive() == message
        await socket.close()
    request = seen[0]
    assert request.path == "/v1/x?model=m"
    assert request.headers["host"] == f"127.0.0.1:{target.port}"
    assert request.headers["authorization"] == "Bearer real"
    for name in ("user-agent", "sec-websocket-extensions", "origin"):
        assert name not in request.headers


async def test_a_unix_socket_and_a_socket_of_the_callers_are_dialled_too(tmp_path: Path) -> None:
    async with unix_serve(echo, str(tmp_path / "s")), upstream() as target:

        async def given() -> Any:
            found = socket.socket()
            found.setblocking(False)
            await asyncio.get_running_loop().sock_connect(found, ("127.0.0.1", target.port))
            return found

        for way in (Target(unix_socket=str(tmp_path / "s")), Target(dial=given)):
            there = await dial(way)
            await there.send("hi")
            assert await there.receive() == "hi"
            await there.close()


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with upstream() as target:
        await (await dial(target)).close()


async def test_what_an_upstream_answers_instead_is_told() -> None:
    def refuse(connection: ServerConnection, _request: Any) -> Any:
        answer = connection.respond(429, "slow down")  # type: ignore[arg-type]
        answer.headers["Retry-After"] = "7"
        return answer

    async with upstream(process_request=refuse) as target:
        with pytest.raises(HandshakeRefused) as caught:
            await dial(target)
    assert (caught.value.status, caught.value.body) == (429, b"slow down")
    assert (b"retry-after", b"7") in caught.value.headers


async def test_a_redirect_is_never_followed() -> None:
    asked = []

    def lead(connection: ServerConnection, request: Any) -> Any:
        asked.append(request.path)
        answer = connection.respond(302, "")  # type: ignore[arg-type]
        answer.headers["Location"] = "/elsewhere"
        return answer

    async with upstream(process_request=lead) as target:
        with pytest.raises(HandshakeRefused) as caught:
            await dial(target)
    assert (caught.value.status, len(asked)) == (302, 1)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", UpstreamClosed),
        (b"nonsense\r\n\r\n", UpstreamProtocolError),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            RelayError,
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", UpstreamProtocolError),
    ],
)
async def test_an_answer_that_is_none_is_an_error(answer: bytes, error: type[RelayError]) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with raw_upstream(handler) as port:
        with pytest.raises(error):
            await dial(Target("127.0.0.1", port))


async def test_an_upstream_that_never_answers_or_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_client, "HANDSHAKE_SECONDS", 0.1)

    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    async with raw_upstream(silent) as port:
        with pytest.raises(UpstreamTimeout):
            await dial(Target("127.0.0.1", port))
        await asyncio.wait_for(left.wait(), 5)
    with pytest.raises(ConnectFailed):
        await dial(Target("127.0.0.1", port))


@pytest.mark.parametrize("path", [b"/a b", b"/a\r\nx: y", b"x", b"/#"])
async def test_what_may_not_be_sent_is_not(path: bytes) -> None:
    with pytest.raises(UnsafeRequest):
        await dial(Target("127.0.0.1", 1), path)
    with pytest.raises(UnsafeRequest):
        await Sockets().open(Target(), b"/", [(b"x", b"a\r\nb: c")], [], connect_seconds=1)


async def test_how_an_upstream_closes_is_told() -> None:
    async def handler(socket: ServerConnection) -> None:
        if socket.request and socket.request.path == "/break":
            socket.transport.abort()
            return
        await socket.send("last")
        await socket.close(4002, "enough")

    async with upstream(handler) as target:
        socket = await dial(target)
        assert await socket.receive() == "last"
        with pytest.raises(Closed) as caught:
            await socket.receive()
        assert (caught.value.code, caught.value.reason) == (4002, "enough")
        with pytest.raises(Closed):
            await socket.send("late")
        broken = await dial(target, b"/break")
        with pytest.raises(Closed) as caught:
            await broken.receive()
        assert caught.value.code is None


@pytest.mark.parametrize(
    "frames",
    [
        [Frame(Opcode.BINARY, b"x" * (MESSAGE_BYTES + 1))],
        [Frame(Opcode.TEXT, b"\xff")],
        [Frame(Opcode.TEXT, b"", fin=False), *[Frame(Opcode.CONT, b"", fin=False)] * 12],
        [Frame(Opcode.CLOSE, b"\x03\xe8")],
    ],
)
async def test_frames_out_of_bounds_end_the_connection(frames: list[Frame], monkeypatch: Any) -> None:
    monkeypatch.setattr(websocket_client, "FRAGMENTS", 10)
    monkeypatch.setattr(websocket_client, "CLOSE_SECONDS", 0.2)

    async def handler(socket: ServerConnection) -> None:
        socket.transport.write(b"".join(frame.serialize(mask=False) for frame in frames))
        await socket.wait_closed()

    async with upstream(handler, close_timeout=0.1, ping_interval=None) as target:
        socket = await dial(target)
        with pytest.raises(Closed):
            await asyncio.wait_for(socket.receive(), 2)
        await socket.close()


async def test_what_is_not_read_holds_the_upstream_back() -> None:
    sent = 0

    async def flood(socket: ServerConnection) -> None:
        nonlocal sent
        while True:
            await socket.send(b"x" * 65536)
            sent += 65536

    async with upstream(flood, close_timeout=0.1) as target:
        socket = await dial(target)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.3)
        assert 0 < sent < 100 * 1024 * 1024  # what the kernel's two buffers take, and a little
        assert len(socket._connection.recv_messages.frames) < 64
        await socket.close()


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a certificate for 127.0.0.1; return a server's context, and one of who trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = made.public_bytes(serialization.Encoding.PEM)
    (folder / "both.pem").write_bytes(private + public)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "both.pem")
    return server, ssl.create_default_context(cadata=public.decode())


async def test_a_certificate_is_verified(tmp_path: Path) -> None:
    server, trusting = certificate(tmp_path)
    async with upstream(ssl=server) as target:
        with pytest.raises(ConnectFailed, match="CERTIFICATE_VERIFY_FAILED"):
            await dial(target)
        socket = await Sockets(trusting).open(target, b"/", HEADERS, [], connect_seconds=5)
        await socket.send("hi")
        assert await socket.receive() == "hi"
        await socket.close()


def test_codes_and_reasons_that_a_frame_can_carry() -> None:
    assert [
        code for code in (999, 1000, 1004, 1005, 1006, 1012, 1015, 3000, 4999, 5000) if sendable(code)
    ] == [
        1000,
        1012,
        3000,
        4999,
    ]
    assert short("ü" * 100) == "ü" * 61
