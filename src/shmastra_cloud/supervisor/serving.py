"""The embedded Postgres as a child process: under `shmastra up`, or alone while something is done."""

from __future__ import annotations

import asyncio
import shutil
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from shmastra_cloud.supervisor.children import Child
from shmastra_cloud.supervisor.postgres import Postgres
from shmastra_cloud.supervisor.privileges import own

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from shmastra_cloud.supervisor.privileges import Account

START_SECONDS = 60
STOP_SECONDS = 60


def postgres_child(postgres: Postgres, logs: Path) -> Child:
    """Return the child that serves a prepared cluster."""
    dsn = postgres.dsn
    return Child(
        "postgres",
        postgres.argv(),
        {"LANG": "C.UTF-8"},
        logs,
        lambda: accepts(dsn),
        postgres.account,
        end_signal=signal.SIGINT,
    )


@asynccontextmanager
async def serving(data: Path, who: Account | None) -> AsyncIterator[str]:
    """Serve the cluster of a data folder where no supervisor does, made if there is none; give its address.

    Whoever calls this holds the folder's lock. At the end all is on disk, and nothing runs.

    Raises:
        ChildFailed: Postgres did not come up.
    """
    postgres = Postgres(data, who)
    await asyncio.to_thread(postgres.prepare)
    child = postgres_child(postgres, own(data / "logs", who))
    try:
        await child.start(START_SECONDS)
        yield postgres.dsn
    finally:
        await child.stop(STOP_SECONDS)
        if not postgres.sockets.is_relative_to(data):
            shutil.rmtree(postgres.sockets)


async def accepts(dsn: str) -> bool:
    """Tell whether a database answers."""
    try:
        connection = await asyncpg.connect(dsn, timeout=2)
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return False
    await connection.close()
    return True
