"""Who is signed out, disabled, removed or no member any more is out of everything open, on every process."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from tests.security.conftest import new_database
from tests.security.support import (
    EVENTS,
    PATIENCE,
    Cloud,
    Received,
    chunk,
    start_cloud,
    status,
    stop_cloud,
)

from shmastra_cloud.database import open_pool
from shmastra_cloud.identity import MEMBERSHIP, Sessions, Users, session_hash
from shmastra_cloud.secrets_at_rest import load_vault
from shmastra_cloud.settings import Settings
from shmastra_cloud.workspaces import Workspaces

WITHIN = 1.0
LONG = {"SHMASTRA_PROVIDER_SECONDS": "120"}  # a stream that says nothing goes on for all of a test
RUN = b'data: {"type":"start","runId":"run-1","from":"AGENT"}\n\n'
ANSWER = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
BODY = b'{"model":"m","stream":true,"messages":[]}'


def hold(connection: socket.socket, received: Received) -> None:
    """Answer with a stream that goes on until the other side leaves."""
    begun = ANSWER if b"chat/completions" in received.head else RUN
    connection.sendall(EVENTS + chunk(begun if received.head.startswith(b"POST") else b"data: 1\n\n"))
    connection.settimeout(120)
    while connection.recv(65536):
        continue


@pytest.fixture(scope="module")
def clouds(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, Cloud]]:
    """Two web processes over one database, as behind a load balancer."""
    folder, dsn = tmp_path_factory.mktemp("clouds"), asyncio.run(new_database(postgres))
    with contextlib.ExitStack() as stack:
        one = start_cloud(dsn, folder / "one", **LONG)
        stack.callback(stop_cloud, one)
        (folder / "two").mkdir()
        shutil.copy2(folder / "one/master.key", folder / "two/master.key")
        two = start_cloud(dsn, folder / "two", **LONG)
        stack.callback(stop_cloud, two)
        for cloud in (one, two):
            cloud.engine.answer = cloud.provider.answer = hold
        yield one, two


class Stream:
    """A client of a stream, which notes what came and when it ended."""

    def __init__(self, cloud: Cloud, line: str, *headers: str, body: bytes = b"") -> None:
        self.data = b""
        self.ended_at: float | None = None
        self._socket = socket.create_connection(("127.0.0.1", cloud.port), PATIENCE)
        lines = [f"{line} HTTP/1.1", f"Host: 127.0.0.1:{cloud.port}", "Connection: close", *headers]
        lines += [f"Content-Length: {len(body)}"] if body else []
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        while b"\r\n\r\n" not in self.data or not self.data.partition(b"\r\n\r\n")[2]:
            piece = self._socket.recv(65536)
            assert piece, self.data
            self.data += piece
        assert status(self.data) == 200, self.data
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while piece := self._socket.recv(65536):
                self.data += piece
        self.ended_at = time.monotonic()

    def ends_within(self, seconds: float, since: float) -> None:
        self._reader.join(max(0.0, since + seconds - time.monotonic()) + 5)
        assert self.ended_at is not None, f"it goes on: {self.data!r}"
        assert self.ended_at - since <= seconds, f"it went on for {self.ended_at - since:.2f} s"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(PATIENCE)
        self._socket.close()


class Somebody:
    """A user with a browser session and what he has open at one or two processes."""

    def __init__(self, user_id: UUID, email: str, session: str, key: str) -> None:
        self.id, self.email, self.session, self.key = user_id, email, session, key
        self.streams: list[Stream] = []
        self.calls: list[Stream] = []

    def opens(self, cloud: Cloud) -> None:
        """Open every kind of stream that a session lets in."""
        page = [f"Cookie: shmastra_session={self.session}", f"Origin: {cloud.url}"]
        self.streams += [
            Stream(cloud, "POST /api/mastra/agents/a/stream", *page, body=b"{}"),
            Stream(cloud, "GET /api/mastra/events", *page),
            Stream(cloud, "GET /api/sandbox/events", *page),
            Stream(cloud, "GET /studio/refresh-events", *page),
        ]

    def calls_a_model(self, cloud: Cloud) -> None:
        """Open a stream that the virtual key lets in."""
        line = "POST /api/gateway/openai/v1/chat/completions"
        self.calls.append(Stream(cloud, line, f"x-api-key: {self.key}", body=BODY))

    def close(self) -> None:
        for stream in (*self.streams, *self.calls):
            stream.close()


@pytest.fixture
def people(clouds: tuple[Cloud, Cloud]) -> Iterator[Callable[[str], Somebody]]:
    """Make users with a ready sandbox; what they still have open is closed at the end."""
    made: list[Somebody] = []

    def make(name: str) -> Somebody:
        async def work(users: Users) -> Somebody:
            user_id = await users.invite(f"{name}@example.com")
            await Workspaces(users.pool, users._vault).ensure(user_id)
            await users.pool.execute(
                "update sandboxes set status = 'ready', sandbox_id = $2, env_version = 1,"
                " awake_until = now() + interval '1 day' where user_id = $1",
                user_id,
                f"sandbox-of-{name}",
            )
            session = await Sessions(users.pool).start(user_id)
            return Somebody(user_id, f"{name}@example.com", session, await users.virtual_key(user_id))

        made.append(run(clouds[0], work))
        return made[-1]

    yield make
    for somebody in made:
        somebody.close()


def run(cloud: Cloud, work: Callable[[Users], Awaitable[Any]]) -> Any:
    """Do something with users from outside of both processes, as a worker or the command line does."""

    async def working() -> Any:
        pool = await open_pool(cloud.dsn)
        try:
            settings = Settings(SHMASTRA_DATA=cloud.data)  # type: ignore[call-arg]
            return await work(Users(pool, load_vault(settings)))
        finally:
            await pool.close()

    return asyncio.run(working())


def signs_out(path: str) -> Callable[[Cloud, Somebody], None]:
    def act(cloud: Cloud, somebody: Somebody) -> None:
        page = [f"Cookie: shmastra_session={somebody.session}", f"Origin: {cloud.url}"]
        assert status(cloud.ask(f"POST {path}", *page)) == 303

    return act


def from_outside(work: Callable[[Users, Somebody], Awaitable[Any]]) -> Callable[[Cloud, Somebody], None]:
    def act(cloud: Cloud, somebody: Somebody) -> None:
        run(cloud, lambda users: work(users, somebody))

    return act


def ends_it_on_the_page(cloud: Cloud, somebody: Somebody) -> None:
    """End the session from another one's page of sessions."""
    second = run(cloud, lambda users: Sessions(users.pool).start(somebody.id))
    ids = run(cloud, lambda users: Sessions(users.pool).of(somebody.id))
    [ended] = [row["id"] for row in ids if bytes(row["token_hash"]) == session_hash(somebody.session)]
    page = [f"Cookie: shmastra_session={second}", f"Origin: {cloud.url}"]
    assert status(cloud.ask(f"POST /sessions/{ended}/end", *page)) == 303


SESSION_ENDS = {
    "logout": signs_out("/logout"),
    "logout-everywhere": signs_out("/logout?everywhere=1"),
    "on-the-sessions-page": ends_it_on_the_page,
    "by-an-admin": from_outside(lambda users, one: users.sign_out(one.id)),
}
USER_ENDS = {
    "disabled": from_outside(lambda users, one: users.set_disabled(one.email, disabled=True)),
    "membership-lost": from_outside(lambda users, one: users.shut_out(one.id, because=MEMBERSHIP)),
    "removed": from_outside(lambda users, one: users.remove(one.email)),
}


@pytest.mark.parametrize("how", [*SESSION_ENDS, *USER_ENDS])
def test_whatever_is_open_ends_within_a_second_on_both_processes(
    clouds: tuple[Cloud, Cloud], people: Callable[[str], Somebody], how: str
) -> None:
    out, stays = people(f"out-{how}"), people(f"stays-{how}")
    for cloud in clouds:
        out.opens(cloud)
        out.calls_a_model(cloud)
    stays.opens(clouds[1])
    stays.calls_a_model(clouds[1])
    (SESSION_ENDS | USER_ENDS)[how](clouds[0], out)
    since = time.monotonic()
    for stream in out.streams:
        stream.ends_within(WITHIN, since)
        assert stream.data.endswith(b"0\r\n\r\n"), stream.data[-200:]
    agents = [stream.data for stream in out.streams if RUN in stream.data]
    assert len(agents) == 2
    assert all(b'"type": "error", "runId": "run-1"' in data and b"signed out" in data for data in agents)
    if how != "removed":  # his workspace is gone too, and whichever is heard of first ends the stream
        assert [b"event: signed_out" in stream.data for stream in out.streams[2::4]] == [True, True]
    for call in out.calls:
        if how in USER_ENDS:
            call.ends_within(WITHIN, since)
            assert b"not valid any more" in call.data
            assert call.data.endswith(b"0\r\n\r\n")
        assert (call.ended_at is None) is (how in SESSION_ENDS)
    assert all(stream.ended_at is None for stream in (*stays.streams, *stays.calls))
    for cloud in clouds:
        cookie = f"Cookie: shmastra_session={out.session}"
        assert status(cloud.ask("GET /api/mastra/agents", cookie)) == 401
        assert status(cloud.ask("GET /studio", cookie)) == 302
        assert status(cloud.ask("GET /api/me", f"Cookie: shmastra_session={stays.session}")) == 200


def test_a_rotated_key_ends_the_calls_that_it_let_in_and_no_page(
    clouds: tuple[Cloud, Cloud], people: Callable[[str], Somebody]
) -> None:
    ann = people("ann-rotates")
    for cloud in clouds:
        ann.calls_a_model(cloud)
    ann.opens(clouds[0])
    run(clouds[0], lambda users: users.rotate_key(ann.email))
    since = time.monotonic()
    for call in ann.calls:
        call.ends_within(WITHIN, since)
    assert all(stream.ended_at is None for stream in ann.streams)


def test_what_ended_while_nobody_listened_is_cut_when_somebody_does_again(
    clouds: tuple[Cloud, Cloud], people: Callable[[str], Somebody]
) -> None:
    out, stays = people("out-gap"), people("stays-gap")
    for somebody in (out, stays):
        for cloud in clouds:
            somebody.opens(cloud)
            somebody.calls_a_model(cloud)

    async def unheard(users: Users) -> None:
        async with users.pool.acquire() as connection, connection.transaction():
            await connection.execute("alter table sessions disable trigger user")
            await connection.execute("alter table users disable trigger user")
            await connection.execute("update users set disabled_at = now() where id = $1", out.id)
            await connection.execute("delete from sessions where user_id = $1", out.id)
            await connection.execute("alter table sessions enable trigger user")
            await connection.execute("alter table users enable trigger user")
        await asyncio.sleep(0.3)
        assert all(stream.ended_at is None for stream in (*out.streams, *out.calls))
        await users.pool.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )

    run(clouds[0], unheard)
    since = time.monotonic()
    for stream in (*out.streams, *out.calls):
        stream.ends_within(5.0, since)
    for stream in (*stays.streams, *stays.calls):  # all but the events of a sandbox need no database
        assert stream.ended_at is None or b"event: status" in stream.data, stream.data[-900:]
