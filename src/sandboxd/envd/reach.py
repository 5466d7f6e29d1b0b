"""Reaching into a sandbox: who is asked for, what he is given, and the helper that acts for him."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from connectrpc.code import Code
from connectrpc.errors import ConnectError

from sandboxd.envd.failures import not_started
from sandboxd.envd.helper import ARGV, Helper, bundle, socket_pair

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

PATH = "/usr/local/bin:/usr/bin:/bin"
USERS = ("user", "root")
START_SECONDS = 20
SECONDS = 120
IDLE_SECONDS = 60.0


class Hands(Protocol):
    """How to get into one sandbox."""

    @property
    def envs(self) -> Mapping[str, str]:
        """What every process is given."""

    async def start(self, argv: Sequence[str], *, user: str, link: socket.socket) -> bool:
        """Start a program inside with a socket as its standard input; False where it did not start."""

    async def signal(self, group: int, number: int) -> int:
        """Signal a process group by its number inside; return how many processes were reached."""

    def refused_processes(self) -> int:
        """Return how often the sandbox was refused one process more than its limit."""


def user_of(authorization: str | None) -> str:
    """Return who a request asks to be: ``user``, or ``root`` in the sandbox's own uids.

    Raises:
        ConnectError: there is no such user.
    """
    if not authorization or not authorization.lower().startswith("basic "):
        return "user"
    try:
        name = base64.b64decode(authorization[6:], validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ConnectError(Code.UNAUTHENTICATED, "the user cannot be read") from error
    return known(name)


def known(name: str) -> str:
    """Return a user's name.

    Raises:
        ConnectError: there is no such user.
    """
    if name not in USERS:
        raise ConnectError(Code.UNAUTHENTICATED, f"there is no user {name[:32]!r}")
    return name


def home_of(user: str) -> str:
    """Return a user's home."""
    return "/root" if user == "root" else "/home/user"


def deadline(ctx: Any) -> float | None:
    """Return when a call's time is up, by the event loop's clock; None where it has no end."""
    milliseconds = ctx.timeout_ms() if callable(ctx.timeout_ms) else ctx.timeout_ms
    return asyncio.get_running_loop().time() + milliseconds / 1000 if milliseconds else None


def environment(hands: Hands, user: str, more: Mapping[str, str]) -> dict[str, str]:
    """Return what a process is given."""
    return {"HOME": home_of(user), "USER": user, "LOGNAME": user, "PATH": PATH, **hands.envs, **more}


class Helpers:
    """The helpers of one sandbox, started when they are first needed and let go when idle."""

    def __init__(self, hands: Hands, idle_seconds: float = IDLE_SECONDS) -> None:
        self._hands, self._idle = hands, idle_seconds
        self._all: dict[str, Helper] = {}
        self._starting = {user: asyncio.Lock() for user in USERS}
        self._watching: set[asyncio.Task[None]] = set()

    async def of(self, user: str) -> Helper:
        """Return the helper that acts for a user.

        Raises:
            ConnectError: it could not be started.
        """
        async with self._starting[user]:
            found = self._all.get(user)
            if found is None or not found.open:
                found = self._all[user] = await self._start(user)
                task = asyncio.create_task(self._let_go(found))
                self._watching.add(task)
                task.add_done_callback(self._watching.discard)
            return found

    async def operate(self, user: str, do: str, **more: Any) -> Any:
        """Do one operation on files and return its result.

        Raises:
            ConnectError: it failed, or did not end in time.
        """
        helper = await self.of(user)
        try:
            async with asyncio.timeout(SECONDS):
                return await helper.done(do, home=home_of(user), **more)
        except TimeoutError as error:
            raise ConnectError(Code.DEADLINE_EXCEEDED, "the operation did not end in time") from error

    async def aclose(self) -> None:
        """Let all helpers go; what they started goes on."""
        for helper in self._all.values():
            helper.close()
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)

    async def _start(self, user: str) -> Helper:
        refused = self._hands.refused_processes()
        ours, theirs = socket_pair()
        ours.send(bundle())
        helper = Helper(ours)
        try:
            async with asyncio.timeout(START_SECONDS):
                with theirs:
                    started = await self._hands.start(ARGV, user=user, link=theirs)
                if started:
                    await helper.done("stat", home="/", path="/")
                    return helper
        except (ConnectError, TimeoutError) as error:
            helper.close()
            raise not_started(full=self._hands.refused_processes() > refused) from error
        except BaseException:
            helper.close()
            raise
        helper.close()
        raise not_started(full=self._hands.refused_processes() > refused)

    async def _let_go(self, helper: Helper) -> None:
        """Close a helper that had nothing to do between two looks at it."""
        idle = False
        while helper.open:
            await asyncio.sleep(self._idle / 2)
            if idle and not helper.busy and helper.unused:
                helper.close()
            idle = not helper.busy
            helper.unused = True


@contextlib.contextmanager
def whatever_it_says(what: str) -> Any:
    """Turn an answer that has not the shape of one into an error."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ConnectError(Code.INTERNAL, f"the sandbox's answer on {what} cannot be read") from error
