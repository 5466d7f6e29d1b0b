import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError

from sandboxd.envd.helper import MESSAGE_BYTES, Helper, socket_pair


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Helper, socket.socket]]:
    """A helper whose inside is this test: it answers what it likes."""
    ours, theirs = socket_pair()
    helper = Helper(ours)
    theirs.settimeout(5)
    yield helper, theirs
    helper.close()
    theirs.close()


def say(theirs: socket.socket, **told: object) -> None:
    theirs.send(json.dumps(told).encode())


async def test_answers_find_who_asked(pair: tuple[Helper, socket.socket]) -> None:
    helper, theirs = pair
    first, second = await helper.ask("stat", path="/a"), await helper.ask("list", path="/b")
    assert json.loads(theirs.recv(1000)) == {"id": 1, "do": "stat", "path": "/a"}
    say(theirs, id=2, part=[1])
    say(theirs, id=1, ok="one")
    say(theirs, id=2, ok=None)
    assert await first.answer("ok") == "one"
    assert [part async for part in second.parts()] == [[1]]
    first.close()
    assert helper.busy
    second.close()
    assert not helper.busy


@pytest.mark.parametrize("told", [b"x", b"[]", b'{"id": 99}', b'{"id": "1"}', b'{"id": null}', b"[1]"])
async def test_what_answers_nothing_ends_the_helper(pair: tuple[Helper, socket.socket], told: bytes) -> None:
    helper, theirs = pair
    call = await helper.ask("stat")
    theirs.send(told)
    with pytest.raises(ConnectError) as caught:
        await call.answer("ok")
    assert caught.value.code is Code.UNAVAILABLE
    assert not helper.open
    with pytest.raises(ConnectError):
        await helper.done("stat")


async def test_a_flood_of_answers_ends_the_helper(pair: tuple[Helper, socket.socket]) -> None:
    helper, theirs = pair
    await helper.ask("watch")
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        while helper.open:
            try:
                await loop.sock_sendall(theirs, b'{"id": 1, "events": []}')
            except OSError:
                break
    assert not helper.open


async def test_descriptors_that_nobody_asked_for_are_closed(pair: tuple[Helper, socket.socket]) -> None:
    helper, theirs = pair
    before = len(list(Path("/proc/self/fd").iterdir()))
    call = await helper.ask("start")
    call.close()
    with Path("/dev/null").open() as null:  # noqa: ASYNC230
        socket.send_fds(theirs, [b'{"id": 1, "ok": {}}'], [null.fileno()])
    await asyncio.sleep(0.05)
    assert helper.open
    assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_what_is_too_long_is_not_sent(pair: tuple[Helper, socket.socket]) -> None:
    helper, theirs = pair
    with pytest.raises(ConnectError, match="too long"):
        await helper.ask("start", args=["x" * MESSAGE_BYTES])
    helper_task = asyncio.create_task(helper.done("start", args=["x" * (MESSAGE_BYTES - 1000)]))
    data = await asyncio.to_thread(theirs.recv, MESSAGE_BYTES)
    assert len(data) > MESSAGE_BYTES - 1000
    say(theirs, id=json.loads(data)["id"], ok=1)
    assert await helper_task == 1
