# ruff: noqa: ARG002 -- the signatures are the service's
"""``process.Process``: programs started inside a sandbox, followed, fed, signalled.

The pid shown is the one inside: a small shell says it on its first line and becomes the program, in a session
of its own, so that a signal reaches the whole group.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from e2b.envd.process import process_pb as pb
from e2b.envd.process.process_connect import Process as ProcessInterface
from protobuf import Oneof

from sandboxd.envd.reach import environment, home_of, not_started, user_of
from sandboxd.errors import WrongState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandboxd.envd.app import Hands

# the pid goes out first, before the program can write anything of its own
WRAPPER = 'printf "%s\\n" "$$" >&2; cd "$1" || exit 127; shift; exec "$@"'
PIECE = 32768
QUEUE = 256
KEEPALIVE_SECONDS = 25.0
START_SECONDS = 20
MAX_PROCESSES = 200


@dataclass
class Running:
    """A program inside, and those who follow it."""

    config: Any
    tag: str | None
    user: str
    process: asyncio.subprocess.Process
    pid: int
    followers: set[asyncio.Queue[Any]] = field(default_factory=set)
    early: deque[Any] = field(default_factory=lambda: deque(maxlen=QUEUE))
    end: Any = None
    pump: asyncio.Task[None] | None = None

    async def emit(self, event: Any) -> None:
        """Hand an event to all followers; a slow one holds the program back, as a full pipe would."""
        if not self.followers:
            self.early.append(event)
        for queue in list(self.followers):
            await queue.put(event)


class ProcessService(ProcessInterface):
    """The service of one sandbox."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._running: dict[int, Running] = {}

    async def list(self, request: Any, ctx: Any) -> Any:
        """List what runs."""
        return pb.ListResponse(
            processes=[
                pb.ProcessInfo(config=one.config, pid=pid, tag=one.tag)
                for pid, one in self._running.items()
                if one.end is None
            ]
        )

    async def start(self, request: Any, ctx: Any) -> AsyncIterator[Any]:
        """Start a program and follow it."""
        running = await self._spawn(request, ctx)
        async for event in self._follow(running, ctx, kill_late=True):
            yield pb.StartResponse(event=event)

    async def connect(self, request: Any, ctx: Any) -> AsyncIterator[Any]:
        """Follow a program that runs."""
        async for event in self._follow(self._find(request.process), ctx, kill_late=False):
            yield pb.ConnectResponse(event=event)

    async def send_input(self, request: Any, ctx: Any) -> Any:
        """Write to a program's standard input."""
        await self._write(self._find(request.process), request.input)
        return pb.SendInputResponse()

    async def stream_input(self, request: Any, ctx: Any) -> Any:
        """Write a stream to a program's standard input."""
        running: Running | None = None
        async for message in request:
            if message.event.field == "start":
                running = self._find(message.event.value.process)
            elif message.event.field == "data" and running is not None:
                await self._write(running, message.event.value.input)
        return pb.StreamInputResponse()

    async def close_stdin(self, request: Any, ctx: Any) -> Any:
        """End a program's standard input."""
        running = self._find(request.process)
        if running.process.stdin is not None:
            running.process.stdin.close()
        return pb.CloseStdinResponse()

    async def send_signal(self, request: Any, ctx: Any) -> Any:
        """Send a signal to a program and its children."""
        await self._signal(self._find(request.process), int(request.signal))
        return pb.SendSignalResponse()

    async def update(self, request: Any, ctx: Any) -> Any:
        """Refuse: there are no terminals."""
        raise ConnectError(Code.UNIMPLEMENTED, "terminals are not served by this engine")

    async def _spawn(self, request: Any, ctx: Any) -> Running:
        if request.pty:
            raise ConnectError(Code.UNIMPLEMENTED, "terminals are not served by this engine")
        if len(self._running) >= MAX_PROCESSES:
            raise ConnectError(Code.RESOURCE_EXHAUSTED, "too many programs are followed in this sandbox")
        user, config = user_of(ctx.request_headers.get("authorization")), request.process
        wanted = ["/usr/bin/setsid", "--wait", "/bin/sh", "-c", WRAPPER, "sh", config.cwd or home_of(user)]
        refused = self._hands.refused_processes()
        process = await asyncio.create_subprocess_exec(
            *self._hands.command(
                [*wanted, config.cmd, *config.args],
                user=user,
                cwd="/",
                env=environment(self._hands, user, dict(config.envs)),
            ),
            stdin=asyncio.subprocess.PIPE if request.stdin in (None, True) else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        pid = await _first_line(process)
        if pid is None:
            raise not_started(self._hands, refused)
        running = Running(config, request.tag, user, process, pid)
        self._running[running.pid] = running
        running.pump = asyncio.create_task(self._pump(running))
        return running

    async def _pump(self, running: Running) -> None:
        """Read what a program says until it ends."""
        process = running.process
        try:
            await asyncio.gather(
                _read(running, process.stdout, "stdout"), _read(running, process.stderr, "stderr")
            )
            status = await process.wait()
            running.end = _event(Oneof("end", _end(status)))
            await running.emit(running.end)
        finally:
            if running.end is None:
                running.end = _event(Oneof("end", _end(-signal.SIGKILL)))
            self._running.pop(running.pid, None)

    async def _follow(self, running: Running, ctx: Any, *, kill_late: bool) -> AsyncIterator[Any]:
        """Yield the start, what the program says, and its end, within the time that the client set."""
        queue: asyncio.Queue[Any] = asyncio.Queue(QUEUE)
        for event in running.early:
            queue.put_nowait(event)
        running.early.clear()
        running.followers.add(queue)
        milliseconds = ctx.timeout_ms() if callable(ctx.timeout_ms) else ctx.timeout_ms
        loop = asyncio.get_running_loop()
        end = loop.time() + milliseconds / 1000 if milliseconds else None
        try:
            yield _event(Oneof("start", pb.ProcessEvent.StartEvent(pid=running.pid)))
            while running.end is None or not queue.empty():
                left = KEEPALIVE_SECONDS if end is None else min(KEEPALIVE_SECONDS, end - loop.time())
                event = await _next(queue, left)
                if event is None and end is not None and loop.time() >= end:
                    if kill_late:
                        await self._signal(running, signal.SIGKILL)
                    raise ConnectError(Code.DEADLINE_EXCEEDED, "context deadline exceeded")
                yield event or _event(Oneof("keepalive", pb.ProcessEvent.KeepAlive()))
                if event is not None and event.event.field == "end":
                    return
        finally:
            running.followers.discard(queue)
            while not queue.empty():
                queue.get_nowait()

    def _find(self, selector: Any) -> Running:
        chosen = selector.selector
        for pid, running in self._running.items():
            if chosen and (pid if chosen.field == "pid" else running.tag) == chosen.value:
                return running
        raise ConnectError(Code.NOT_FOUND, "process not found")

    async def _write(self, running: Running, given: Any) -> None:
        stdin = running.process.stdin
        if stdin is None or stdin.is_closing():
            raise ConnectError(Code.FAILED_PRECONDITION, "standard input is not open")
        stdin.write(given.input.value)
        with contextlib.suppress(ConnectionError):
            await stdin.drain()

    async def _signal(self, running: Running, number: int) -> None:
        """Signal the group inside: a signal to the program outside would leave what it started."""
        with contextlib.suppress(WrongState):  # it is gone, and the program with it
            await self._hands.signal(running.pid, number)


def _event(what: Any) -> Any:
    return pb.ProcessEvent(event=what)


async def _first_line(process: asyncio.subprocess.Process) -> int | None:
    try:
        async with asyncio.timeout(START_SECONDS):
            line = await process.stderr.readline() if process.stderr else b""
        return int(line)
    except (TimeoutError, ValueError):
        if process.returncode is None:
            process.kill()
        await process.wait()
        return None


async def _read(running: Running, reader: asyncio.StreamReader | None, name: Any) -> None:
    while reader is not None and (data := await reader.read(PIECE)):
        output = pb.ProcessEvent.DataEvent(output=Oneof(name, data))
        await running.emit(_event(Oneof("data", output)))


async def _next(queue: asyncio.Queue[Any], seconds: float) -> Any:
    try:
        async with asyncio.timeout(max(seconds, 0)):
            return await queue.get()
    except TimeoutError:
        return None


def _end(status: int) -> Any:
    """Return the end event; a status above 128 is a shell's way to tell of a signal."""
    number = -status if status < 0 else 0
    text = f"signal: {signal.Signals(number).name}" if number else f"exit status {status}"
    return pb.ProcessEvent.EndEvent(
        exit_code=-1 if number else status,
        exited=not number,
        status=text,
        error=None if status == 0 else text,
    )
