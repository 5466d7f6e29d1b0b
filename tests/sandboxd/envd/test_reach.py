import asyncio
import base64
import socket
import sys
from collections.abc import Sequence

import pytest
from connectrpc.errors import ConnectError

from sandboxd.envd.reach import Helpers, environment, home_of, user_of, whatever_it_says


def basic(name: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:".encode()).decode()


def test_the_user_is_read_from_the_header() -> None:
    assert user_of(None) == "user"
    assert user_of(basic("root")) == "root"
    for wrong in (basic("nobody"), basic("0"), "Basic !!!"):
        with pytest.raises(ConnectError):
            user_of(wrong)


class Nothing:
    """Hands that start what never answers, or nothing."""

    def __init__(self, *, starts: bool, refused: int = 0) -> None:
        self._starts, self._refused, self.asked = starts, refused, 0

    @property
    def envs(self) -> dict[str, str]:
        return {"A": "1", "B": "1"}

    async def start(self, argv: object, *, user: str, link: socket.socket) -> bool:
        self.asked += 1
        return self._starts

    async def signal(self, group: int, number: int) -> int:
        return 0

    def refused_processes(self) -> int:
        return self.asked * self._refused


class Starts(Nothing):
    """Hands that start the helper on this machine."""

    async def start(self, argv: Sequence[str], *, user: str, link: socket.socket) -> bool:
        self.asked += 1
        self.process = await asyncio.create_subprocess_exec(sys.executable, *argv[1:], stdin=link.fileno())
        return True


def test_a_process_is_given_what_was_said_at_creation_and_for_itself() -> None:
    given = environment(Nothing(starts=False), "root", {"B": "2"})
    assert (given["A"], given["B"], given["HOME"]) == ("1", "2", home_of("root"))


@pytest.mark.parametrize("starts", [True, False])
async def test_what_did_not_start_says_why(starts: bool) -> None:
    for refused, told in ((0, "did not start"), (1, "limit of processes")):
        helpers = Helpers(Nothing(starts=starts, refused=refused))
        with pytest.raises(ConnectError, match=told):
            await helpers.operate("user", "stat", path="/")
        await helpers.aclose()


async def test_one_helper_serves_all_and_is_let_go_when_idle() -> None:
    hands = Starts(starts=True)
    helpers = Helpers(hands, idle_seconds=0.2)
    await asyncio.gather(*(helpers.operate("user", "stat", path="/") for _ in range(20)))
    assert hands.asked == 1
    async with asyncio.timeout(20):
        await hands.process.wait()
    assert await helpers.operate("user", "stat", path="/etc")
    assert hands.asked == 2
    await helpers.aclose()
    async with asyncio.timeout(20):
        await hands.process.wait()


def test_an_answer_of_another_shape_is_an_error() -> None:
    for wrong in ({}, None, {"a": None}):
        with pytest.raises(ConnectError, match="cannot be read"), whatever_it_says("x"):
            wrong["a"]["b"]  # type: ignore[index]
