"""What there is to save on this machine: whether the cloud runs, its database, its sandboxes' disks."""

from __future__ import annotations

import fcntl
import os
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import asyncpg

from sandboxd import commands, lock
from sandboxd.client import Client
from sandboxd.engine import Engine
from sandboxd.errors import EngineError, NoSuchSandbox
from shmastra_cloud.backup.errors import BackupError, NotPossible
from shmastra_cloud.backup.moves import finish
from shmastra_cloud.supervisor import AlreadyRunning, Postgres, held, owner_of, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from shmastra_cloud.settings import Settings

    Connection = asyncpg.Connection[asyncpg.Record]

CONNECT_SECONDS = 10
QUERY_SECONDS = 60


@contextmanager
def one_at_a_time(data: Path) -> Iterator[None]:
    """Keep a second backup of the same installation out.

    Raises:
        NotPossible: one is being made.
    """
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotPossible("Another backup of this installation is being made.") from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def kept_still(data: Path, say: Callable[[str], None]) -> Iterator[bool]:
    """Give whether the cloud runs; where it does not, nobody starts it meanwhile."""
    with ExitStack() as holding:
        try:
            holding.enter_context(held(data / "run", "`shmastra backup`"))
        except AlreadyRunning:
            running = True
        else:
            running = False
            finish(data, say)
        yield running


@dataclass(frozen=True)
class Source:
    """A database: its address, and a connection that sees it as it is at one moment."""

    dsn: str
    connection: Connection


@asynccontextmanager
async def database(data: Path, *, running: bool) -> AsyncIterator[Source]:
    """Give the embedded database, which is started where the cloud does not run.

    Raises:
        SupervisorError: it is another user's, or does not start.
        NotPossible: it does not answer.
    """
    who = owner_of(data / "postgres")
    if running:
        dsn = Postgres(data, who).dsn
        async with _snapshot(dsn) as connection:
            yield Source(dsn, connection)
    else:
        async with serving(data, who) as dsn, _snapshot(dsn) as connection:
            yield Source(dsn, connection)


@asynccontextmanager
async def _snapshot(dsn: str) -> AsyncIterator[Connection]:
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, command_timeout=QUERY_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise NotPossible(
            f"The cloud's database does not answer ({type(error).__name__}). Try again in a moment; "
            "`shmastra doctor` says how it is."
        ) from error
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    finally:
        with suppress(OSError, TimeoutError, asyncpg.PostgresError):
            await connection.close(timeout=CONNECT_SECONDS)


class Copier(Protocol):
    """Copies sandboxes' disks."""

    async def copy(self, sandbox_id: str) -> Path | None:
        """Copy a disk as it is now; None where there is no such sandbox (any more)."""


@asynccontextmanager
async def engine(settings: Settings, data: Path, *, running: bool) -> AsyncIterator[Copier]:
    """Give a way to the sandboxes' disks: through the daemon, or without it where it does not run.

    Raises:
        BackupError: it cannot be reached.
    """
    async with AsyncExitStack() as open_:
        copier: Copier
        try:
            if running:
                copier = _Asking(_daemon(settings, data))
            else:
                copier = _Doing(await open_.enter_async_context(_own_engine(data / "engine")))
        except lock.Taken:  # one runs without a supervisor
            copier = _Asking(_daemon(settings, data))
        except EngineError as error:
            raise BackupError(str(error)) from error
        yield copier


def _daemon(settings: Settings, data: Path) -> Client:
    try:
        if settings.engine_url is not None and settings.engine_key is not None:
            return Client(settings.engine_url, settings.engine_key)
        return Client.of(data / "engine")
    except EngineError as error:
        raise BackupError(str(error)) from error


@asynccontextmanager
async def _own_engine(folder: Path) -> AsyncIterator[Engine]:
    """Give an engine for a while; nobody else works on its folder meanwhile."""
    descriptor = lock.take(folder)
    commands.inherited.append(descriptor)
    made = Engine(folder, gateway=None, egress=[])
    try:
        await made.open()
        yield made
    finally:
        await made.aclose()
        commands.inherited.remove(descriptor)
        os.close(descriptor)


async def stop_sandboxes(folder: Path) -> None:
    """End what an engine's sandboxes still have in memory; their files stay.

    Raises:
        BackupError: a daemon works on the folder.
    """
    try:
        async with _own_engine(folder) as made:
            await made.stop_all()
    except EngineError as error:
        raise BackupError(str(error)) from error


class _Asking:
    """Asks the daemon."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def copy(self, sandbox_id: str) -> Path | None:
        try:
            return self._client.copy_disk(sandbox_id)
        except NoSuchSandbox:
            return None
        except EngineError as error:
            raise BackupError(str(error)) from error


class _Doing:
    """Does it in this process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def copy(self, sandbox_id: str) -> Path | None:
        try:
            return await self._engine.copy_disk(sandbox_id)
        except NoSuchSandbox:
            return None
        except EngineError as error:
            raise BackupError(str(error)) from error
