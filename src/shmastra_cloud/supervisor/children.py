"""A child process that is kept running: started, watched, started again, ended in time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from shmastra_cloud.supervisor.errors import ChildFailed
from shmastra_cloud.supervisor.privileges import wrapped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from shmastra_cloud.supervisor.privileges import Account

log = logging.getLogger(__name__)

MAX_LOG_BYTES = 10_000_000
MAX_REST_SECONDS = 10.0
CALM_SECONDS = 30.0
TAIL_BYTES = 2000
MOST_ENDS = 5  # while it starts: what it needs may still be held by one that is ending


@dataclass
class Child:
    """What is run, as whom, and how its end is asked for; without ``logs`` it writes to where this does."""

    name: str
    argv: list[str]
    environ: Mapping[str, str]
    logs: Path | None
    is_up: Callable[[], Awaitable[bool]]
    account: Account | None = None
    fds: tuple[int, ...] = ()
    end_signal: signal.Signals = signal.SIGTERM
    no_network: bool = False
    process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _stopping: bool = field(default=False, init=False)
    _ends: int = field(default=0, init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)

    async def start(self, seconds: float) -> None:
        """Start it and wait until it is up.

        Raises:
            ChildFailed: it ended, or was not up in time; the message ends with its last words.
        """
        await self._spawn()
        self._task = asyncio.create_task(self._keep())
        try:
            async with asyncio.timeout(seconds):
                while not await self.is_up():
                    if self._ends > MOST_ENDS:
                        raise ChildFailed(
                            f"{self.name} ended {self._ends} times as it started. {self._tail()}"
                        )
                    await asyncio.sleep(0.03)
        except TimeoutError as error:
            raise ChildFailed(
                f"{self.name} did not come up within {seconds:.0f} s. {self._tail()}"
            ) from error

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    async def stop(self, seconds: float) -> None:
        """End it, politely first."""
        self._stopping = True
        process = self.process
        if process is not None and process.returncode is None:
            process.send_signal(self.end_signal)
            try:
                async with asyncio.timeout(seconds):
                    await process.wait()
            except TimeoutError:
                log.warning("%s did not end in time and is killed", self.name)
                process.kill()
                await process.wait()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _spawn(self) -> None:
        with contextlib.ExitStack() as opened:
            out = None if self.logs is None else opened.enter_context(_log(self.logs / f"{self.name}.log"))
            self.process = await asyncio.create_subprocess_exec(
                *wrapped(self.argv, self.account, death=self.end_signal.name[3:], no_network=self.no_network),
                env=dict(self.environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd="/",
                pass_fds=self.fds,
                start_new_session=True,
            )

    async def _keep(self) -> None:
        """Start it again whenever it ends, with longer and longer rests while it keeps ending soon."""
        loop = asyncio.get_running_loop()
        rest = 0.1
        while self.process is not None:
            began = loop.time()
            status = await self.process.wait()
            if self._stopping:
                return
            self._ends += 1
            rest = 0.1 if loop.time() - began > CALM_SECONDS else min(rest * 2, MAX_REST_SECONDS)
            log.warning("%s ended (status %s) and is started again", self.name, status)
            await asyncio.sleep(rest * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter, not a secret
            try:
                await self._spawn()
            except OSError as error:  # no memory, no disk: the ended process is waited for again, and so on
                log.warning("%s cannot be started (%s), trying again", self.name, error.strerror)

    def _tail(self) -> str:
        if self.logs is None:
            return "What it said stands above."
        path = self.logs / f"{self.name}.log"
        text = path.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()
        last = text.splitlines()[-1] if text else "It said nothing."
        return f"{path} ends with: {last}"


def _log(path: Path) -> BinaryIO:
    """Open a log to write at its end; one that has grown large becomes the old one."""
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
