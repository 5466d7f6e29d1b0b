"""The program inside a sandbox that does what envd is asked, as seen from outside.

One runs per user that is asked for; it is started when it is first needed, is kept while it has something
to do, and is let go when it has had nothing for a while. Its answers are its user's word: they are checked,
and one that is not an answer to anything ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sandboxd import pipes
from sandboxd.envd.failures import failure, gone, too_long

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

INSIDE = Path(__file__).parent / "inside"
MODULES = ("files", "watch", "programs", "serve")
BOOT = """import json,socket,sys,types
link=socket.socket(fileno=0)
for name,text in json.loads(link.recv(1<<20)):
 module=sys.modules[name]=types.ModuleType(name)
 module.__path__=[]
 exec(compile(text,name,"exec"),module.__dict__)
 above,_,last=name.rpartition(".")
 if above:setattr(sys.modules[above],last,module)
module.main(link)"""
ARGV = ("/usr/bin/python3", "-I", "-S", "-c", BOOT)
MESSAGE_BYTES = 1 << 20
SEND_SECONDS = 30
WAITING_ANSWERS = 256
MAX_STRAYS = 10_000


def bundle() -> bytes:
    """Return the program as its first message."""
    package = "sandboxd.envd.inside"
    above = [(name, "") for name in ("sandboxd", "sandboxd.envd", package)]
    own = [(f"{package}.{name}", (INSIDE / f"{name}.py").read_text()) for name in MODULES]
    return json.dumps([*above, *own]).encode()


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return our end and the helper's; ours never blocks, and takes the longest message."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with contextlib.suppress(OSError):  # SO_SNDBUFFORCE, for which the limits of the machine do not count
        ours.setsockopt(socket.SOL_SOCKET, 32, 2 * MESSAGE_BYTES)
    return ours, theirs


class Call:
    """What was asked, and the answers to it; used in ``async with``."""

    def __init__(self, helper: Helper, number: int) -> None:
        self.number, self._helper = number, helper
        self.answers: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.descriptors: list[int] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.close()

    async def answer(self, name: str) -> Any:
        """Return the next answer, which is to be of that name.

        Raises:
            ConnectError: the operation failed, or the helper is gone.
        """
        told = await self.answers.get()
        if told is None:
            raise gone()
        if name in told:
            return told[name]
        raise failure(told.get("error"))

    async def parts(self) -> AsyncIterator[Any]:
        """Yield a listing's parts."""
        while True:
            told = await self.answers.get()
            if told is None:
                raise gone()
            if "ok" in told:
                return
            if "part" not in told:
                raise failure(told.get("error"))
            yield told["part"]

    def close(self) -> None:
        """Take no more answers."""
        self._helper.forget(self.number)
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []


class Helper:
    """One helper, spoken to through a socket."""

    def __init__(self, link: socket.socket) -> None:
        self._link, self._calls, self._number = link, dict[int, Call](), 0
        self._strays = 0
        self._saying = asyncio.Lock()
        self.open, self.unused = True, False
        asyncio.get_running_loop().add_reader(link, self._heard)

    @property
    def busy(self) -> bool:
        """Whether something is asked of it that has not ended."""
        return bool(self._calls)

    async def ask(self, do: str, descriptors: Sequence[int] = (), **more: Any) -> Call:
        """Ask for an operation; the descriptors are given along and closed here.

        Raises:
            ConnectError: it is too long to be asked, or the helper is gone or takes nothing.
        """
        self.unused = False
        self._number += 1
        call = self._calls[self._number] = Call(self, self._number)
        try:
            await self._say(json.dumps({"id": call.number, "do": do, **more}).encode(), descriptors)
        except BaseException:
            call.close()
            raise
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return call

    async def done(self, do: str, **more: Any) -> Any:
        """Do one operation and return its result.

        Raises:
            ConnectError: it failed.
        """
        async with await self.ask(do, **more) as call:
            return await call.answer("ok")

    def forget(self, number: int) -> None:
        """Take no more answers to a call; what is still under way is not an offence."""
        self._calls.pop(number, None)

    def close(self) -> None:
        """Let it go; whoever waits for an answer is told."""
        if not self.open:
            return
        self.open = False
        asyncio.get_running_loop().remove_reader(self._link)
        self._link.close()
        for call in self._calls.values():
            call.answers.put_nowait(None)

    async def _say(self, data: bytes, descriptors: Sequence[int]) -> None:
        if len(data) > MESSAGE_BYTES:
            raise too_long()
        try:
            async with asyncio.timeout(SEND_SECONDS), self._saying:
                while self.open:
                    try:
                        socket.send_fds(self._link, [data], list(descriptors))
                    except BlockingIOError:
                        await pipes.writable(self._link.fileno())
                    else:
                        return
        except (OSError, TimeoutError) as error:
            self.close()
            raise gone() from error
        raise gone()

    def _heard(self) -> None:
        """Take one message: others have their turn between two."""
        try:
            data, descriptors, flags, _ = socket.recv_fds(self._link, MESSAGE_BYTES, 1)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors, flags = b"", [], 0
        if not data or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or not self._take(data, descriptors):
            for descriptor in descriptors:
                os.close(descriptor)
            self.close()

    def _take(self, data: bytes, descriptors: list[int]) -> bool:
        """Hand an answer to who waits for it; False where it is none."""
        try:
            told = json.loads(data)
            number = told["id"]
        except (ValueError, KeyError, TypeError):
            return False
        call = self._calls.get(number) if isinstance(number, int) else None
        if call is None:
            self._close_all(descriptors)
            self._strays += 1
            return isinstance(number, int) and number <= self._number and self._strays < MAX_STRAYS
        if call.answers.qsize() >= WAITING_ANSWERS:
            return False
        call.descriptors += descriptors
        call.answers.put_nowait(told)
        return True

    @staticmethod
    def _close_all(descriptors: list[int]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)
        descriptors.clear()
