# ruff: noqa: ARG002 -- the signatures are the service's
"""``process.Process``: programs started inside a sandbox, followed, fed, signalled.

A program has ended when it ends itself, as with E2B's own envd: what it left running in the background may
hold its outputs open for as long as it likes, and what was written until then is passed on. Its time is what
was given at its start, whether anybody still follows it or not; it is then killed with its whole session.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from e2b.envd.process import process_pb as pb
from e2b.envd.process.process_connect import Process as ProcessInterface

from sandboxd.envd.failures import gone, late
from sandboxd.envd.program import Program, event, start
from sandboxd.envd.reach import deadline, environment, home_of, user_of
from sandboxd.errors import WrongState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandboxd.envd.reach import Hands, Helpers

KEEPALIVE_SECONDS = 25.0
LOST_SECONDS = 1.0
KILL_SECONDS = 10.0
INPUT_SECONDS = 60
MAX_PROGRAMS = 200


class ProcessService(ProcessInterface):
    """The service of one sandbox."""

    def __init__(self, hands: Hands, helpers: Helpers) -> None:
        self._hands, self._helpers = hands, helpers
        self._running: dict[int, Program] = {}

    async def aclose(self) -> None:
        """Follow nothing any more."""
        tasks = [one.task for one in self._running.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def list(self, request: Any, ctx: Any) -> Any:
        """List what runs."""
        return pb.ListResponse(
            processes=[
                pb.ProcessInfo(config=one.config, pid=pid, tag=one.tag) for pid, one in self._running.items()
            ]
        )

    async def start(self, request: Any, ctx: Any) -> AsyncIterator[Any]:
        """Start a program and follow it."""
        program = await self._start(request, ctx)
        async for told in self._follow(program, None):
            yield pb.StartResponse(event=told)

    async def connect(self, request: Any, ctx: Any) -> AsyncIterator[Any]:
        """Follow a program that runs."""
        async for told in self._follow(self._find(request.process), deadline(ctx)):
            yield pb.ConnectResponse(event=told)

    async def send_input(self, request: Any, ctx: Any) -> Any:
        """Write to a program's standard input or terminal."""
        await self._write(self._find(request.process), request.input)
        return pb.SendInputResponse()

    async def stream_input(self, request: Any, ctx: Any) -> Any:
        """Write a stream to a program's standard input or terminal."""
        program: Program | None = None
        async for message in request:
            if message.event.field == "start":
                program = self._find(message.event.value.process)
            elif message.event.field == "data" and program is not None:
                await self._write(program, message.event.value.input)
        return pb.StreamInputResponse()

    async def close_stdin(self, request: Any, ctx: Any) -> Any:
        """End a program's standard input."""
        program = self._find(request.process)
        if program.terminal is not None:
            raise ConnectError(Code.FAILED_PRECONDITION, "a terminal has no end of input: send ^D (0x04)")
        if program.input is not None:
            program.input.close()
        return pb.CloseStdinResponse()

    async def send_signal(self, request: Any, ctx: Any) -> Any:
        """Send a signal to a program and its children."""
        await self._signal(self._find(request.process), int(request.signal))
        return pb.SendSignalResponse()

    async def update(self, request: Any, ctx: Any) -> Any:
        """Set the size of a program's terminal."""
        program = self._find(request.process)
        if request.pty and request.pty.size:
            program.resize(request.pty.size.rows, request.pty.size.cols)
        return pb.UpdateResponse()

    async def _start(self, request: Any, ctx: Any) -> Program:
        if len(self._running) >= MAX_PROGRAMS:
            raise ConnectError(
                Code.FAILED_PRECONDITION,
                f"{MAX_PROGRAMS} programs are followed in this sandbox; end some first (commands.kill)",
            )
        user = user_of(ctx.request_headers.get("authorization"))
        env = environment(self._hands, user, dict(request.process.envs))
        program = await start(await self._helpers.of(user), request, env, home_of(user))
        program.deadline = deadline(ctx)
        self._running[program.pid] = program
        program.task = asyncio.create_task(self._run(program))
        return program

    async def _run(self, program: Program) -> None:
        """Pass on what a program says until it ends."""
        reading = asyncio.gather(*(program.read(name) for name in program.outputs))
        try:
            status = await self._status(program, reading)
            program.exited.set()
            await reading
            await program.end(status)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            self._running.pop(program.pid, None)
            await program.aclose()

    async def _status(self, program: Program, reading: asyncio.Future[Any]) -> int | None:
        """Return a program's status: negative for the signal that ended it, None where nobody can tell."""
        try:
            async with asyncio.timeout_at(program.deadline):
                return await program.status()
        except TimeoutError:
            program.late = True
            await self._signal(program, signal.SIGKILL)
        except ConnectError:  # its helper is gone
            await self._lost(program, reading)
            return None
        with contextlib.suppress(TimeoutError, ConnectError):
            async with asyncio.timeout(KILL_SECONDS):
                return await program.status()
        return None

    async def _lost(self, program: Program, reading: asyncio.Future[Any]) -> None:
        """Wait for the end of a program that only its outputs and its group still tell of."""
        while not reading.done():
            await asyncio.wait([reading], timeout=LOST_SECONDS)
            if await self._signal(program, 0) == 0:
                return

    async def _follow(self, program: Program, until: float | None) -> AsyncIterator[Any]:
        """Yield the start, what the program says, and its end."""
        loop = asyncio.get_running_loop()
        with program.followed() as queue:
            yield event("start", pb.ProcessEvent.StartEvent(pid=program.pid))
            while True:
                left = KEEPALIVE_SECONDS if until is None else min(KEEPALIVE_SECONDS, until - loop.time())
                try:
                    async with asyncio.timeout(max(left, 0)):
                        told = await queue.get()
                except TimeoutError:
                    if until is not None and loop.time() >= until:
                        raise late() from None
                    yield event("keepalive", pb.ProcessEvent.KeepAlive())
                    continue
                if told is None:
                    raise gone()
                if told.event.field == "end" and program.late:
                    raise late()
                yield told
                if told.event.field == "end":
                    return

    def _find(self, selector: Any) -> Program:
        chosen = selector.selector
        for pid, program in self._running.items():
            if chosen and (pid if chosen.field == "pid" else program.tag) == chosen.value:
                return program
        raise ConnectError(Code.NOT_FOUND, "process not found")

    async def _write(self, program: Program, given: Any) -> None:
        wanted = "pty" if program.terminal is not None else "stdin"
        if given.input is None or given.input.field != wanted:
            raise ConnectError(Code.FAILED_PRECONDITION, f"this program's input is its {wanted}")
        if program.input is None or program.input.is_closing():
            raise ConnectError(Code.FAILED_PRECONDITION, "standard input is not open")
        try:
            async with asyncio.timeout(INPUT_SECONDS), program.feeding:
                program.input.write(given.input.value)
                await program.input.drain()
        except ConnectionError as error:
            raise ConnectError(Code.FAILED_PRECONDITION, "the program reads no more") from error
        except TimeoutError as error:
            raise ConnectError(Code.DEADLINE_EXCEEDED, "the program does not read its input") from error

    async def _signal(self, program: Program, number: int) -> int:
        """Signal the group inside: a signal to the program alone would leave what it started."""
        try:
            return await self._hands.signal(program.pid, number)
        except WrongState:  # the sandbox is gone, and the program with it
            return 0
