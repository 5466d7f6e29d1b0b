"""A real web process between raw sockets: clients that normalise nothing, upstreams that record all."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx

from shmastra_cloud.database import open_pool
from shmastra_cloud.identity import Sessions, Users, make_link
from shmastra_cloud.secrets_at_rest import load_vault
from shmastra_cloud.settings import Settings
from shmastra_cloud.workspaces import Workspaces

REAL_KEY = "sk-real-0123456789"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PATIENCE = 20.0


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass
class Received:
    """One request as it came over the wire; ``whole`` once its body's end was seen."""

    head: bytes
    body: bytes = b""
    whole: bool = False

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.headers}

    def get(self, name: str) -> str | None:
        return dict(self.headers).get(name)


Answer = Callable[[socket.socket, Received], None]


class Upstream:
    """Listens on a port or a path, records what comes, and answers with ``answer`` (bytes or a function)."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.reset()
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        self.received: list[Received] = []
        self.answer: bytes | Answer = OK
        self.closed = threading.Event()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        closed = self.closed
        with connection:
            try:
                while (received := self._read(connection)) is not None:
                    closed = self.closed
                    if isinstance(self.answer, bytes):
                        connection.sendall(self.answer)
                    else:
                        self.answer(connection, received)
            except OSError:
                pass
        closed.set()

    def _read(self, connection: socket.socket) -> Received | None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        received = Received(head, body)
        self.received.append(received)
        length, chunked = received.get("content-length"), received.get("transfer-encoding")
        while not (
            received.body.endswith(b"0\r\n\r\n") if chunked else len(received.body) >= int(length or 0)
        ):
            piece = connection.recv(65536)
            if not piece:
                return None
            received.body += piece
        received.whole = True
        return received


def until_closed(connection: socket.socket) -> None:
    """Wait until the other side has gone."""
    connection.settimeout(PATIENCE)
    while connection.recv(65536):
        continue


@dataclass
class Person:
    """A user with a session, a virtual key, and a sandbox that the stand-in engine answers for."""

    id: UUID
    email: str
    session: str
    key: str
    sandbox_id: str


@dataclass
class Cloud:
    """The process, what stands around it, and the people who use it."""

    port: int
    data: Path
    dsn: str
    provider: Upstream
    engine: Upstream
    process: subprocess.Popen[bytes]
    log: Path
    people: dict[str, Person] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ann(self) -> Person:
        return self.people["ann"]

    def talk(self, data: bytes, *, half: bool = False) -> bytes:
        """Send bytes and return everything that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client:
            try:
                client.sendall(data)
                if half:
                    client.shutdown(socket.SHUT_WR)
                answer = b""
                while piece := client.recv(65536):
                    answer += piece
            except ConnectionError:
                return b""
            return answer

    def head(self, line: str, *headers: str, body: bytes = b"") -> bytes:
        """Send a request of one line and headers, and return the head of what comes back."""
        lines = [f"{line} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", "Connection: close", *headers]
        lines += [f"Content-Length: {len(body)}"] if body else []
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client:
            client.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            answer = b""
            while b"\r\n\r\n" not in answer and (piece := client.recv(65536)):
                answer += piece
            return answer.partition(b"\r\n\r\n")[0]

    def ask(self, line: str, *headers: str, body: bytes = b"", host: str | None = None) -> bytes:
        """Send a request of one line and headers, verbatim, and read until the server closes."""
        lines = [f"{line} HTTP/1.1", f"Host: {host or f'127.0.0.1:{self.port}'}", "Connection: close"]
        if body and not any(header.lower().startswith("content-length") for header in headers):
            lines.append(f"Content-Length: {len(body)}")
        return self.talk("\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + body)

    def link(self, who: str = "ann") -> str:
        """Make a one-time link for somebody and return its token."""

        async def make() -> str:
            pool = await open_pool(self.dsn)
            try:
                return (await make_link(pool, self.people[who].id))[0]
            finally:
                await pool.close()

        return asyncio.run(make())

    def start_session(self, who: str = "ann") -> str:
        """Start another session for somebody and return its token."""

        async def start() -> str:
            pool = await open_pool(self.dsn)
            try:
                return await Sessions(pool).start(self.people[who].id)
            finally:
                await pool.close()

        return asyncio.run(start())

    def mine(self, who: str = "ann") -> list[str]:
        """Return the headers of a browser that is signed in and asks from a page of the cloud."""
        return [f"Cookie: shmastra_session={self.people[who].session}", f"Origin: {self.url}"]


def status(answer: bytes) -> int:
    """Return the status of the one answer that is there."""
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer[9:12])


def start_cloud(dsn: str, folder: Path, **environ: str) -> Cloud:
    """Start a web process over a migrated database, with two people in it."""
    (folder / "studio").mkdir(parents=True)
    (folder / "studio/index.html").write_text("<html><head></head></html>")
    provider, engine = Upstream(), Upstream()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{provider.port}"
    variables = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": dsn,
        "SHMASTRA_DATA": str(folder),
        "SHMASTRA_PORT": str(port),
        "SHMASTRA_ENGINE_URL": f"http://127.0.0.1:{engine.port}",
        "SHMASTRA_ENGINE_KEY": "e2b_test",
        "SHMASTRA_PROVIDER_SECONDS": "1.5",
        "OPENAI_API_KEY": REAL_KEY,
        "ANTHROPIC_API_KEY": REAL_KEY,
        "GOOGLE_GENERATIVE_AI_API_KEY": REAL_KEY,
        "COMPOSIO_API_KEY": REAL_KEY,
        "OPENAI_BASE_URL": f"{base}/v1",
        "ANTHROPIC_BASE_URL": f"{base}/v1",
        "GOOGLE_GENERATIVE_AI_BASE_URL": f"{base}/v1beta",
        "COMPOSIO_BASE_URL": base,
        **environ,
    }
    log = folder / "web.log"
    with log.open("ab") as out:
        command = [sys.executable, "-m", "shmastra_cloud", "web"]
        process = subprocess.Popen(command, env=variables, stdout=out, stderr=out)
    cloud = Cloud(port, folder, dsn, provider, engine, process, log)
    deadline = time.monotonic() + 60
    while not _answers(cloud.url):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    cloud.people = asyncio.run(_people(dsn, folder))
    return cloud


_POOLS_OWN = re.compile(r"\S+ \S+ WARNING asyncpg\.pool: .*\n(?:Traceback.*\n|  .*\n|asyncpg\..*\n)+")


def stop_cloud(cloud: Cloud) -> None:
    """Stop the process and look at what it left in its log."""
    if cloud.process.poll() is None:
        cloud.process.send_signal(signal.SIGTERM)
        assert cloud.process.wait(30) == 0, cloud.log.read_text()
    cloud.provider.close()
    cloud.engine.close()
    text = _POOLS_OWN.sub("", cloud.log.read_text())
    assert "Traceback" not in text, text
    for secret in (REAL_KEY, *(secret for one in cloud.people.values() for secret in (one.key, one.session))):
        assert secret not in text


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


async def _people(dsn: str, folder: Path) -> dict[str, Person]:
    vault = load_vault(Settings(SHMASTRA_DATA=folder))  # type: ignore[call-arg]
    pool = await open_pool(dsn)
    try:
        users, sessions, store = Users(pool, vault), Sessions(pool), Workspaces(pool, vault)
        people = {}
        for name in ("ann", "bob", "eve"):
            email = f"{name}@example.com"
            user_id = await users.invite(email)
            await store.ensure(user_id)
            await pool.execute(
                "update sandboxes set status = 'ready', sandbox_id = $2, env_version = 1,"
                " awake_until = now() + interval '1 day' where user_id = $1",
                user_id,
                f"sandbox-of-{name}",
            )
            people[name] = Person(
                user_id,
                email,
                await sessions.start(user_id),
                await users.virtual_key(user_id),
                f"sandbox-of-{name}",
            )
        return people
    finally:
        await pool.close()
