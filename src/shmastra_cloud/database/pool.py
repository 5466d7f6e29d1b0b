"""The connection pool: bounded, with a time-out on every statement."""

from __future__ import annotations

import logging
import os
import socket
import ssl
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from shmastra_cloud.database.address import TRANSACTION_POOLER, cleaned
from shmastra_cloud.database.errors import UnsuitableDatabase
from shmastra_cloud.database.pooler import pools_transactions
from shmastra_cloud.database.reasons import is_full, reason

if TYPE_CHECKING:
    from tenacity import RetryCallState

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Row: TypeAlias = asyncpg.Record

log = logging.getLogger(__name__)

STATEMENT_SECONDS = 10
CONNECT_SECONDS = 5
SIZE = 8
TOLD_AT = 2  # attempts: the first may meet a database that is just starting
FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.ClientConfigurationError, ValueError)


def session_name() -> str:
    """Return what this process is called in ``pg_stat_activity``, within the 63 bytes that Postgres keeps."""
    return f"shmastra {socket.gethostname()[:40]}:{os.getpid()}"


async def open_pool(dsn: str, *, patience: float = 30, size: int = SIZE) -> Pool:
    """Open a pool of at most ``size`` connections, trying for ``patience`` seconds.

    Raises:
        DatabaseAway: nothing answered within that time.
        UnsuitableDatabase: the address can never be used, or leads through a pooler in transaction mode.
    """
    address = cleaned(dsn)
    try:
        async for attempt in AsyncRetrying(
            stop=stop_after_delay(patience),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            retry=retry_if_exception(_may_pass),
            before_sleep=_tell,
            reraise=True,
        ):
            with attempt:
                return await _open(address, size)
    except FAILURES as error:
        raise await reason(error, address) from error
    raise AssertionError("unreachable")  # pragma: no cover


async def _open(address: str, size: int) -> Pool:
    if await pools_transactions(address):
        raise UnsuitableDatabase(TRANSACTION_POOLER)
    return await asyncpg.create_pool(
        address,
        min_size=1,
        max_size=size,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS,
        server_settings={"application_name": session_name()},
    )


def _may_pass(error: BaseException) -> bool:
    """Tell whether another try may succeed: the way to the database, its start, or a place in it."""
    if isinstance(error, ssl.SSLCertVerificationError) or (
        isinstance(error, ConnectionError) and "SSL" in str(error)
    ):
        return False
    return isinstance(error, (OSError, TimeoutError, asyncpg.CannotConnectNowError)) or is_full(error)


def _tell(state: RetryCallState) -> None:
    """Say once that the database is waited for."""
    if state.attempt_number == TOLD_AT and state.outcome is not None:
        error = state.outcome.exception()
        log.warning("the database does not answer (%s), trying again for a while", type(error).__name__)
