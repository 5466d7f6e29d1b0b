"""Programs run inside a sandbox for somebody outside: their output byte for byte, their input, their end.

The SDK's own ``commands.run`` decodes output as UTF-8 and takes one shell line; its generated client
underneath gives bytes and takes a list of arguments, so that is what is used here.
"""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import anyio
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from e2b.connection_config import KEEPALIVE_PING_HEADER, KEEPALIVE_PING_INTERVAL_SEC
from e2b.envd.client_async import as_stream, create_rpc_client, first_event
from e2b.envd.process import process_pb as pb
from e2b.envd.process.process_connect import ProcessClient
from e2b.envd.rpc import handle_rpc_exception
from e2b.envd.utils import extract_start_pid
from e2b.exceptions import SandboxNotRunningException
from protobuf import Oneof

from shmastra_cloud.frames import Kind
from shmastra_cloud.workspaces.engine import PROJECT, REQUEST_SECONDS, translated
from shmastra_cloud.workspaces.errors import SandboxGone

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from shmastra_cloud.workspaces.engine import Running

AS_USER = {"Authorization": "Basic dXNlcjo="}  # base64 of "user:"
RUN_MILLISECONDS = 24 * 3600 * 1000
END_SECONDS = 5
SIGNALLED = 128  # a shell's way to tell of a signal

# What Node reads out of `.env` is what the dev server is started with, quotes and all.
_PRINT_ENV = (
    'const{parseEnv}=require("node:util"),{readFileSync}=require("node:fs");'
    f'for(const[k,v]of Object.entries(parseEnv(readFileSync("{PROJECT}/.env","utf8"))))'
    'process.stdout.write(k+"="+v+"\\0")'
)
_WITH_ENV = (
    "while IFS= read -r -d '' one; do"
    ' if [[ ${one%%=*} =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]]; then export "$one" 2>/dev/null; fi;'
    f" done < <(node -e '{_PRINT_ENV}' </dev/null 2>/dev/null); exec -- \"$@\""
)


class Inside:
    """One running sandbox, as a place to run programs in."""

    def __init__(self, running: Running) -> None:
        self._rpc = create_rpc_client(
            ProcessClient, running.sandbox.envd_api_url, running.sandbox.connection_config
        )

    async def run(
        self, argv: list[str], *, with_env: bool, with_input: bool
    ) -> AsyncGenerator[tuple[Kind, bytes], None]:
        """Run a program in the project's folder; when the caller goes away before its end, it is ended.

        Raises:
            EngineAway: the service failed.
            SandboxGone: the sandbox is not there.
        """
        words = ["/bin/bash", "-c", _WITH_ENV, "bash", *argv] if with_env else argv
        asked = pb.StartRequest(
            process=pb.ProcessConfig(cmd=words[0], args=words[1:], cwd=PROJECT), stdin=with_input
        )
        headers = {**AS_USER, KEEPALIVE_PING_HEADER: str(KEEPALIVE_PING_INTERVAL_SEC)}
        events = as_stream(self._rpc.start(asked, headers=headers, timeout_ms=RUN_MILLISECONDS))
        pid: int | None = None
        try:
            async with _rpc_errors():
                pid = extract_start_pid(await first_event(events, REQUEST_SECONDS), "start the program")
                yield Kind.STARTED, str(pid).encode()
                async for event in events:
                    kind, data = _read(event)
                    yield kind, data
                    if kind is Kind.END:
                        pid = None
                        return
        finally:
            with anyio.move_on_after(END_SECONDS, shield=True):
                if pid is not None:
                    await self.end(pid)
                await events.aclose()

    async def feed(self, pid: int, pieces: AsyncIterator[bytes]) -> None:
        """Write to a program's standard input and close it; one that has ended needs no more of it.

        Raises:
            EngineAway: the service failed.
        """
        try:
            async for piece in pieces:
                if piece:
                    asked = pb.SendInputRequest(process=_of(pid), input=_input(piece))
                    await self._rpc.send_input(asked, timeout_ms=RUN_MILLISECONDS)
            await self._rpc.close_stdin(
                pb.CloseStdinRequest(process=_of(pid)), timeout_ms=REQUEST_SECONDS * 1000
            )
        except ConnectError as error:
            if error.code not in (Code.NOT_FOUND, Code.FAILED_PRECONDITION):
                async with _rpc_errors():
                    raise

    async def end(self, pid: int) -> None:
        """End a program, politely first; one that has ended is fine."""
        for number in (pb.Signal.SIGTERM, pb.Signal.SIGKILL):
            asked = pb.SendSignalRequest(process=_of(pid), signal=number)
            try:
                await self._rpc.send_signal(asked, timeout_ms=END_SECONDS * 1000)
            except ConnectError:
                return
            await anyio.sleep(0.5)


def _of(pid: int) -> pb.ProcessSelector:
    chosen: Oneof[Literal["pid"], int] = Oneof("pid", pid)
    return pb.ProcessSelector(selector=chosen)


def _input(piece: bytes) -> pb.ProcessInput:
    given: Oneof[Literal["stdin"], bytes] = Oneof("stdin", piece)
    return pb.ProcessInput(input=given)


def _read(event: pb.StartResponse) -> tuple[Kind, bytes]:
    told = event.event.event if event.event is not None else None
    value = told.value if told is not None else None
    if isinstance(value, pb.ProcessEvent.DataEvent) and value.output is not None:
        return (Kind.ERR if value.output.field == "stderr" else Kind.OUT), value.output.value
    if isinstance(value, pb.ProcessEvent.EndEvent):
        return Kind.END, str(exit_status(value.exit_code, value.status)).encode()
    return Kind.ALIVE, b""


def exit_status(code: int, told: str) -> int:
    """Return what a shell would say of a program's end; ``told`` names the signal where one ended it."""
    if code >= 0:
        return code & 0xFF
    name = told.removeprefix("signal: ").strip()
    known = {one.name: int(one) for one in signal.Signals} | {"killed": 9, "terminated": 15}
    return SIGNALLED + known.get(name, 9)


@asynccontextmanager
async def _rpc_errors() -> AsyncIterator[None]:
    async with translated():
        try:
            yield
        except ConnectError as error:
            problem = handle_rpc_exception(error)
            if isinstance(problem, SandboxNotRunningException):
                problem = SandboxGone("The sandbox does not run any more: it was paused or destroyed.")
            raise problem from error
