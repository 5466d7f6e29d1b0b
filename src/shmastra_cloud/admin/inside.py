"""Programs run inside a sandbox from the command line; the answer is a stream of frames (`frames.py`)."""

from __future__ import annotations

import logging
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import anyio
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field, StringConstraints
from starlette.requests import ClientDisconnect

from shmastra_cloud.admin.parts import AdminParts, Parts, Who, answered, find_sandbox
from shmastra_cloud.database import TROUBLE
from shmastra_cloud.frames import MEDIA_TYPE, Kind, frame
from shmastra_cloud.workspaces import WorkspaceError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from shmastra_cloud.admin.parts import Named
    from shmastra_cloud.audit import Act

log = logging.getLogger(__name__)
router = APIRouter()

MAX_LINES = 100_000
CLOSE_SECONDS = 20
Word = Annotated[
    str, StringConstraints(max_length=128 * 1024 - 1, pattern=r"^[^\x00]*$")
]  # Linux's own bound

_TAIL = (
    'if [ ! -e "$1" ]; then echo "There is no such log yet: $2 has not run in this sandbox." >&2; exit 1; fi;'
    ' shift 2; exec tail "$@"'
)


class Program(BaseModel):
    """What is to be run: as ``user``, in the project's folder."""

    argv: list[Word] = Field(min_length=1, max_length=10_000)
    stdin: bool = False
    env: bool = True  # with the environment of the project's .env
    copies: Annotated[str, Field(max_length=4096)] | None = (
        None  # the path inside, where it is part of a copy
    )


@router.post("/sandboxes/{name}/exec")
async def execute(here: Parts, who: Who, name: str, program: Program) -> Response:
    """Run a program and stream what it says; a client that goes away ends it.

    Of what it is called with only the program itself is written down: the rest may hold a secret.
    """
    sandbox = await find_sandbox(here, name)
    action = "sandbox.exec" if program.copies is None else "sandbox.cp"
    told = {"program": program.argv[0], **({} if program.copies is None else {"path": program.copies})}
    return _stream(here, sandbox, program, here.audit.around(who, action, *_target(sandbox), **told))


@router.post("/sandboxes/{name}/exec/{pid}/stdin", status_code=204)
async def feed(here: Parts, who: Who, name: str, pid: int, request: Request) -> Response:
    """Stream the body to a running program's standard input, then close it."""
    sandbox = await find_sandbox(here, name)
    with answered(), suppress(ClientDisconnect):  # whose going away ends the program on its other connection
        async with (
            here.audit.around(who, "sandbox.stdin", *_target(sandbox), pid=pid),
            here.access.held(sandbox.user_id, "sandbox exec") as inside,
        ):
            await inside.feed(pid, request.stream())
    return Response(status_code=204)


@router.get("/sandboxes/{name}/logs/{process}")
async def logs(  # noqa: PLR0913 -- who asks, and one parameter a word of the request
    here: Parts,
    who: Who,
    name: str,
    process: Literal["shmastra", "healer"],
    *,
    lines: Annotated[int, Query(ge=0, le=MAX_LINES)] = 100,
    follow: bool = False,
) -> Response:
    """Stream the end of a log, and with ``follow`` what is added to it."""
    path = f".logs/{process}.log"
    options = ["-n", str(lines), *(["-F"] if follow else []), "--", path]
    argv = ["/bin/sh", "-c", _TAIL, "sh", path, process, *options]
    sandbox = await find_sandbox(here, name)
    written = here.audit.around(who, "sandbox.logs", *_target(sandbox), process=process)
    return _stream(here, sandbox, Program(argv=argv, env=False), written)


def _target(sandbox: Named) -> tuple[str, str | None]:
    return sandbox.email, sandbox.sandbox_id


def _stream(
    here: AdminParts, sandbox: Named, program: Program, written: AbstractAsyncContextManager[Act]
) -> Response:
    return Closing(_frames(here, sandbox.user_id, program, written), media_type=MEDIA_TYPE)


async def _frames(
    here: AdminParts, user_id: UUID, program: Program, written: AbstractAsyncContextManager[Act]
) -> AsyncGenerator[bytes, None]:
    try:
        async with written as act, here.access.held(user_id, "sandbox exec") as inside:
            running = inside.run(program.argv, with_env=program.env, with_input=program.stdin)
            async with aclosing(running):
                async for kind, data in running:
                    if kind is Kind.END:
                        act.detail["status"] = int(data)
                    yield frame(kind, data)
    except WorkspaceError as error:
        yield frame(Kind.FAILED, str(error).encode())
    except TROUBLE as error:
        log.warning("a program's output ended early (%s)", type(error).__name__)
        yield frame(
            Kind.FAILED, b"The database or the sandbox service does not answer. Try again in a moment."
        )


class Closing(StreamingResponse):
    """Closes its generator however it ends, so that nothing goes on in a sandbox for nobody.

    That the client has gone away is seen by Starlette, which listens for it while it sends.
    """

    async def stream_response(self, send: Any) -> None:
        """Send the body."""
        try:
            await super().stream_response(send)
        finally:
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await cast("AsyncGenerator[bytes, None]", self.body_iterator).aclose()
