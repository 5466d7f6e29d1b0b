import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from tests.shmastra_cloud.asking import ask

from shmastra_cloud.admin import gate
from shmastra_cloud.admin.gate import ManageGate, Refused
from shmastra_cloud.audit import Actor

ANN = Actor("user", "ann@example.com", "1", "10.0.0.1")


class Known:
    """Says who asks, or why he may not, or that the database is away."""

    def __init__(self) -> None:
        self.answer: Actor | Exception = ANN

    async def __call__(self, _scope: Any) -> Actor:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def served() -> FastAPI:
    app = FastAPI()

    @app.get("/users")
    async def users(request: Request) -> dict[str, str]:
        return {"asked by": request.state.actor.name}

    @app.get("/slow")
    async def slow() -> None:
        await asyncio.sleep(60)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"first"
            await asyncio.sleep(60)

        return StreamingResponse(pieces())

    @app.post("/{path:path}")
    async def take(request: Request, path: str) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    return app


@pytest.fixture
def known() -> Known:
    return Known()


@pytest.fixture
def door(known: Known) -> ManageGate:
    return ManageGate(served(), known)


async def test_an_admin_reaches_the_route_without_its_prefix(door: ManageGate) -> None:
    answer = await ask(door, "/api/manage/users")
    assert answer.json() == {"asked by": "ann@example.com"}
    assert answer.headers[b"x-shmastra-version"]
    assert (await ask(door, "/api/manage/nowhere")).status == 405


async def test_nobody_else_does_whatever_he_sends(door: ManageGate, known: Known) -> None:
    known.answer = Refused(404, "not_found", "There is nothing here.")
    for path, method in (("/api/manage/users", "GET"), ("/api/manage/sandboxes/a/exec/1/stdin", "POST")):
        answer = await ask(door, path, method)
        assert (answer.status, answer.json()["code"]) == (404, "not_found")
        assert answer.headers[b"connection"] == b"close"  # a body of his is never read
    known.answer = OSError("away")
    assert (await ask(door, "/api/manage/users")).json()["code"] == "database_away"


async def sent(door: ManageGate, path: str, size: int) -> int:
    """Send a body in pieces, and return the answer's status."""
    pieces = [b"x" * 65536] * (size // 65536)
    statuses: list[int] = []

    async def receive() -> Any:
        body = pieces.pop() if pieces else b""
        return {"type": "http.request", "body": body, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    await door({**scope, "headers": []}, receive, send)
    return statuses[0]


async def test_a_body_has_a_bound_unless_a_program_reads_it(door: ManageGate) -> None:
    assert await sent(door, "/api/manage/sandboxes/a/exec", 1 << 20) == 200
    assert await sent(door, "/api/manage/sandboxes/a/exec", 5 << 20) == 413
    assert await sent(door, "/api/manage/sandboxes/a/exec/1/stdin", 5 << 20) == 200


async def begun(door: ManageGate, path: str) -> tuple[asyncio.Task[None], list[Any]]:
    messages: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
    task = asyncio.create_task(door({**scope, "headers": []}, receive, send))  # type: ignore[arg-type]
    await asyncio.sleep(0.05)
    return task, messages


async def test_what_runs_ends_when_who_asked_may_not_any_more(door: ManageGate, known: Known) -> None:
    stream, slow = await begun(door, "/api/manage/stream"), await begun(door, "/api/manage/slow")
    door.changed()
    await asyncio.sleep(0.05)
    assert not stream[0].done()
    known.answer = Refused(404, "not_found", "There is nothing here.")
    door.changed()
    await asyncio.wait_for(asyncio.gather(stream[0], slow[0]), 2)
    assert [message.get("body") for message in stream[1]] == [None, b"first"]  # cut, without an end
    assert slow[1][0]["status"] == 404


async def test_what_runs_goes_on_while_the_database_is_away_but_not_for_long(
    door: ManageGate, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(gate, "GRACE_SECONDS", 0.2)
    task, _ = await begun(door, "/api/manage/slow")
    known.answer = OSError("away")
    door.changed()
    await asyncio.sleep(0.06)
    known.answer = ANN
    await asyncio.sleep(0.3)
    assert not task.done()
    known.answer = OSError("away")
    door.changed()
    await asyncio.wait_for(task, 2)
