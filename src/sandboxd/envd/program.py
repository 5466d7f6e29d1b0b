"""One program inside, and those who follow it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import termios
from collections import deque
from typing import TYPE_CHECKING, Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from e2b.envd.process import process_pb as pb
from protobuf import Oneof

from sandboxd import pipes
from sandboxd.envd.reach import whatever_it_says

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandboxd.envd.helper import Call, Helper

PIECE = 32768
QUEUE = 32
START_SECONDS = 30
DRAIN_SECONDS = 5
MAX_SIZE = 10_000


def event(name: Any, value: Any) -> Any:
    """Return an event of a program."""
    return pb.ProcessEvent(event=Oneof(name, value))


class Program:
    """A program that was started; whoever made it runs its ``task``."""

    def __init__(self, helper: Helper, call: Call, request: Any, pid: int) -> None:
        self._helper, self._call, self.pid = helper, call, pid
        self.config, self.tag = request.process, request.tag
        self.outputs: dict[str, int] = {}
        self.terminal: int | None = None
        self.input: asyncio.StreamWriter | None = None
        self.feeding, self.exited = asyncio.Lock(), asyncio.Event()
        self.deadline: float | None = None
        self.late = False
        self.task: asyncio.Task[None] | None = None
        self._followers: set[asyncio.Queue[Any]] = set()
        self._early: deque[Any] = deque(maxlen=QUEUE)

    async def status(self) -> int:
        """Wait for the program's end and return its status, negative for a signal.

        Raises:
            ConnectError: the helper is gone, and nobody can tell.
        """
        with whatever_it_says("a program's end"):
            return int(await self._call.answer("exit"))

    async def read(self, name: str) -> None:
        """Pass on one output until its end, or until all is read once the program has ended."""
        while data := await pipes.read(self.outputs[name], PIECE, self.exited):
            await self._emit(event("data", pb.ProcessEvent.DataEvent(output=Oneof(name, data))))  # type: ignore[arg-type]

    async def end(self, status: int | None) -> None:
        """Tell all followers that the program has ended."""
        await self._emit(event("end", _end(status)))

    @contextlib.contextmanager
    def followed(self) -> Iterator[asyncio.Queue[Any]]:
        """Give a queue of what happens from now on, and of what was said to nobody yet."""
        queue: asyncio.Queue[Any] = asyncio.Queue(QUEUE)
        while self._early:
            queue.put_nowait(self._early.popleft())
        self._followers.add(queue)
        try:
            yield queue
        finally:
            self._followers.discard(queue)
            while not queue.empty():  # who waits to put something into it goes on
                queue.get_nowait()

    def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size.

        Raises:
            ConnectError: the program has no terminal.
        """
        if self.terminal is None:
            raise ConnectError(Code.FAILED_PRECONDITION, "the program has no terminal")
        size = struct.pack("HHHH", min(rows, MAX_SIZE), min(columns, MAX_SIZE), 0, 0)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, size)

    async def aclose(self) -> None:
        """Let go of its ends and of who follows it; the helper reads on for those who still write."""
        for queue in self._followers:
            while queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
        if self.input is not None:
            self.input.transport.abort()
        for descriptor in self.outputs.values():
            os.close(descriptor)
        with contextlib.suppress(ConnectError, TimeoutError):  # the helper may be gone
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._helper.done("drain", program=self._call.number)
        self._call.close()

    async def open_input(self, descriptor: int) -> None:
        """Take over the end that the program's input is written to."""
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(descriptor, "wb", buffering=0)
        )
        self.input = asyncio.StreamWriter(transport, protocol, None, loop)

    async def _emit(self, told: Any) -> None:
        """Hand an event to all followers; a slow one holds the program back, as a full pipe would."""
        if not self._followers:
            self._early.append(told)
        for queue in list(self._followers):
            await queue.put(told)


async def start(helper: Helper, request: Any, env: dict[str, str], home: str) -> Program:
    """Start a program inside.

    Raises:
        ConnectError: it could not be started.
    """
    config = request.process
    asked: dict[str, Any] = {"cmd": config.cmd, "args": list(config.args), "env": env}
    asked["cwd"] = os.path.join(home, config.cwd or "")  # noqa: PTH118 -- a path inside
    if request.pty:
        size = request.pty.size
        asked["terminal"] = [min(size.rows, MAX_SIZE), min(size.cols, MAX_SIZE)] if size else [24, 80]
        return await _on_terminal(helper, request, asked)
    return await _on_pipes(helper, request, asked)


async def _on_pipes(helper: Helper, request: Any, asked: dict[str, Any]) -> Program:
    with contextlib.ExitStack() as ours:
        given = [pipes.pipe()] if request.stdin in {None, True} else []
        out, err = pipes.pipe(), pipes.pipe()
        kept = [*(end for _, end in given), out[0], err[0]]
        for descriptor in kept:
            ours.callback(os.close, descriptor)
            os.set_blocking(descriptor, False)
        theirs = [*(end for end, _ in given), out[1], err[1], os.dup(out[0]), os.dup(err[0])]
        program = await _started(helper, request, asked, theirs)
        ours.pop_all()
    program.outputs = {"stdout": out[0], "stderr": err[0]}
    for _, end in given:
        await program.open_input(end)
    return program


async def _on_terminal(helper: Helper, request: Any, asked: dict[str, Any]) -> Program:
    program = await _started(helper, request, asked, [])
    call = program._call  # noqa: SLF001 -- of this module
    if len(call.descriptors) != 1 or not os.isatty(call.descriptors[0]):
        call.close()
        raise ConnectError(Code.INTERNAL, "the sandbox gave no terminal")
    terminal = call.descriptors.pop()
    os.set_blocking(terminal, False)
    program.terminal, program.outputs = terminal, {"pty": terminal}
    await program.open_input(os.dup(terminal))
    return program


async def _started(helper: Helper, request: Any, asked: dict[str, Any], theirs: list[int]) -> Program:
    call = await helper.ask("start", theirs, **asked)
    try:
        async with asyncio.timeout(START_SECONDS):
            told = await call.answer("ok")
        with whatever_it_says("a program"):
            return Program(helper, call, request, int(told["pid"]))
    except TimeoutError as error:
        call.close()
        raise ConnectError(Code.DEADLINE_EXCEEDED, "the program was not started in time") from error
    except BaseException:
        call.close()
        raise


def _end(status: int | None) -> Any:
    if status is None:
        return pb.ProcessEvent.EndEvent(exit_code=-1, exited=False, status="lost", error="lost")
    number = -status if status < 0 else 0
    text = f"signal: {_name(number)}" if number else f"exit status {status}"
    return pb.ProcessEvent.EndEvent(
        exit_code=-1 if number else status,
        exited=not number,
        status=text,
        error=None if status == 0 else text,
    )


def _name(number: int) -> str:
    """Return what a signal is called, as Go does."""
    return (signal.strsignal(number) or str(number)).lower()
