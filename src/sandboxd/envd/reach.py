"""Starting programs inside a sandbox: who they run as, what they are given, and one operation on files."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from sandboxd.envd.app import Hands

SOURCE = (Path(__file__).parent / "inside.py").read_text()
SECONDS = 120
PIECE = 65536
HEAD_BYTES = 1 << 24
PATH = "/usr/local/bin:/usr/bin:/bin"
FULL = (
    "the sandbox is at its limit of processes, so nothing more starts in it: end some of them "
    "(commands.list, commands.kill), or raise SHMASTRA_SANDBOX_PIDS"
)
CODES = {
    "FileNotFoundError": Code.NOT_FOUND,
    "PermissionError": Code.PERMISSION_DENIED,
    "FileExistsError": Code.ALREADY_EXISTS,
    "NotADirectoryError": Code.INVALID_ARGUMENT,
    "IsADirectoryError": Code.INVALID_ARGUMENT,
    "ValueError": Code.INVALID_ARGUMENT,
}


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
    if name not in ("user", "root"):
        raise ConnectError(Code.UNAUTHENTICATED, f"there is no user {name[:32]!r}")
    return name


def home_of(user: str) -> str:
    """Return a user's home."""
    return "/root" if user == "root" else "/home/user"


def environment(hands: Hands, user: str, more: Mapping[str, str]) -> dict[str, str]:
    """Return what a process is given."""
    return {"HOME": home_of(user), "USER": user, "LOGNAME": user, "PATH": PATH, **hands.envs, **more}


def not_started(hands: Hands, refused_before: int) -> ConnectError:
    """Return why nothing was started: the limit of processes, where it was met meanwhile, else unknown."""
    if hands.refused_processes() > refused_before:
        return ConnectError(Code.FAILED_PRECONDITION, FULL)
    return ConnectError(Code.UNAVAILABLE, "the sandbox did not start the program")


async def start(hands: Hands, user: str, operation: dict[str, Any]) -> asyncio.subprocess.Process:
    """Start one operation on files inside.

    Raises:
        ConnectError: the path cannot be one.
    """
    if "\0" in operation["path"] or len(operation["path"]) > 4096:
        raise ConnectError(Code.INVALID_ARGUMENT, "the path cannot be one")
    asked = json.dumps({"home": home_of(user), **operation})
    argv = ["/usr/bin/python3", "-I", "-c", SOURCE, asked]
    return await asyncio.create_subprocess_exec(
        *hands.command(argv, user=user, cwd="/", env={"PATH": PATH, "LANG": "C.UTF-8"}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=HEAD_BYTES,
    )


async def outcome(process: asyncio.subprocess.Process, why: Callable[[], ConnectError]) -> Any:
    """Read how an operation went; ``why`` tells what to raise where it did not even start.

    Raises:
        ConnectError: it failed.
    """
    if process.stdout is None:
        raise ConnectError(Code.INTERNAL, "the operation has no output")
    line = await process.stdout.readline()
    if not line:
        raise why()
    told = json.loads(line)
    if "error" in told:
        raise ConnectError(CODES.get(told["error"], Code.INTERNAL), told["text"])
    return told["ok"]


async def operate(hands: Hands, user: str, body: AsyncIterator[bytes] | None = None, **operation: Any) -> Any:
    """Do one operation on files inside and return its result; ``body`` is what is written.

    Raises:
        ConnectError: it failed, or did not end in time.
    """
    why = partial(not_started, hands, hands.refused_processes())
    process = await start(hands, user, operation)
    try:
        async with asyncio.timeout(SECONDS):
            await _feed(process, body)
            return await outcome(process, why)
    except TimeoutError as error:
        raise ConnectError(Code.DEADLINE_EXCEEDED, "the operation did not end in time") from error
    finally:
        if process.returncode is None:
            await _end(process)


async def _feed(process: asyncio.subprocess.Process, body: AsyncIterator[bytes] | None) -> None:
    if process.stdin is None:
        return
    try:
        if body is not None:
            async for piece in body:
                process.stdin.write(piece)
                await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return  # it ended early; its outcome says why
    finally:
        process.stdin.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Give a program that has answered a moment to end by itself."""
    try:
        async with asyncio.timeout(2):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
