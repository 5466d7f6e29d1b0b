"""``shmastra sandbox exec`` and ``logs``: programs run inside, their bytes passed on untouched."""

from __future__ import annotations

import os
import signal
import sys
import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shmastra_cloud.cli.ask import ORIGIN, client, frames, named
from shmastra_cloud.cli.common import Failed, Sandbox, settings
from shmastra_cloud.cli.printing import plain
from shmastra_cloud.cli.sandboxes import sandbox
from shmastra_cloud.frames import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE = 32768
FEED_SECONDS = 24 * 3600  # as long as a program may run
INTERRUPTED = 130  # a shell's status of a program that Ctrl-C ended


class Process(StrEnum):
    """What runs in a sandbox and keeps a log."""

    SHMASTRA = "shmastra"
    HEALER = "healer"


@sandbox.command("exec")
def sandbox_exec(
    name: Sandbox,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="A program and its arguments.")],
) -> None:
    """Run a command as the sandbox's user, in the project's folder, with the environment of its .env.

    Standard input is passed on where it is not a terminal. The exit status is the command's own.
    """
    _check_words(command)
    raise typer.Exit(run(name, command, feed=_input()))


@sandbox.command("logs")
def sandbox_logs(
    name: Sandbox,
    process: Annotated[Process, typer.Argument(help="Whose log.")] = Process.SHMASTRA,
    *,
    lines: Annotated[int, typer.Option("-n", min=0, max=100_000, help="How many lines of its end.")] = 100,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as it grows, until Ctrl-C.")] = False,
) -> None:
    """Print the end of a log inside a sandbox; one that is paused is resumed for it."""
    path = named("sandboxes", name, "logs", process.value)
    raise typer.Exit(
        _passed_on("GET", f"{path}?lines={lines}&follow={str(follow).lower()}", None, lambda _: None)
    )


def run(name: str, argv: list[str], *, feed: int | None) -> int:
    """Run a program inside, its output on ours, ``feed`` (a file descriptor) on its input; gives its status.

    Raises:
        Failed: the sandbox cannot be had, or was lost on the way.
    """
    body = {"argv": argv, "stdin": feed is not None}

    def started(pid: str) -> None:
        if feed is not None:
            feeding(name, pid, feed)

    return _passed_on("POST", named("sandboxes", name, "exec"), body, started)


def feeding(name: str, pid: str, descriptor: int) -> None:
    """Send what can be read from a descriptor to a running program, in a thread of its own."""
    threading.Thread(
        target=_feed, args=(named("sandboxes", name, "exec", pid, "stdin"), descriptor), daemon=True
    ).start()


def _passed_on(method: str, path: str, body: dict[str, Any] | None, started: Callable[[str], None]) -> int:
    out, err = sys.stdout.buffer, sys.stderr.buffer
    try:
        with frames(method, path, body) as found:
            for kind, data in found:
                if kind in (Kind.OUT, Kind.ERR):
                    stream = out if kind is Kind.OUT else err
                    stream.write(data)
                    stream.flush()
                elif kind is Kind.STARTED:
                    started(data.decode())
                elif kind is Kind.END:
                    return int(data)
                elif kind is Kind.FAILED:
                    raise Failed(plain(data.decode(errors="replace")))
    except KeyboardInterrupt:
        if _feed_failed:
            raise Failed(_feed_failed[0]) from None
        return INTERRUPTED
    raise Failed("The sandbox was lost before the command ended. `shmastra sandbox show` tells more.")


_feed_failed: list[str] = []


def _feed(path: str, descriptor: int) -> None:
    """Send input; where that fails while the program still waits for it, interrupt the main thread."""
    import httpx

    try:
        with client(settings(), FEED_SECONDS) as http:
            answer = http.post(ORIGIN + path, content=_pieces(descriptor))
        refused = answer.is_error
    except Failed:
        refused = True
    except (httpx.HTTPError, OSError):
        return  # the program has ended, or the main thread sees the same connection break
    if refused:
        _feed_failed.append("The command's input could not be sent. `shmastra sandbox show` tells more.")
        os.kill(os.getpid(), signal.SIGINT)


def _pieces(descriptor: int) -> Iterator[bytes]:
    while data := os.read(descriptor, PIECE):
        yield data


def _input() -> int | None:
    """Return standard input's descriptor where it is open and no terminal."""
    try:
        os.fstat(0)
    except OSError:
        return None
    return None if os.isatty(0) else 0


def _check_words(command: list[str]) -> None:
    for word in command:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise typer.BadParameter("an argument is not UTF-8, and only text can be passed on") from error
