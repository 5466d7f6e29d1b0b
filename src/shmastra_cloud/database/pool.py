"""The connection pool: bounded, with a time-out on every statement."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from shmastra_cloud.database.errors import DatabaseAway, UnsuitableDatabase
from shmastra_cloud.database.pooler import pools_transactions

if TYPE_CHECKING:
    from shmastra_cloud.secrets_at_rest import Vault

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Row: TypeAlias = asyncpg.Record

STATEMENT_SECONDS = 10
TRANSACTION_POOLER = UnsuitableDatabase(
    "DATABASE_URL leads through a pooler in transaction mode, where LISTEN hears nothing and locks do not "
    "last. Use the direct or the session-mode string (with Supabase: port 5432; with pgbouncer: "
    "pool_mode = session)."
)


async def open_pool(dsn: str, *, patience: float = 30, size: int = 8) -> Pool:
    """Open a pool of at most ``size`` connections, trying for ``patience`` seconds.

    Raises:
        DatabaseAway: nothing answered within that time.
        UnsuitableDatabase: the address leads through a pooler in transaction mode.
    """
    try:
        async for attempt in AsyncRetrying(
            stop=stop_after_delay(patience),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            retry=retry_if_exception_type((OSError, asyncpg.CannotConnectNowError, asyncio.TimeoutError)),
            reraise=True,
        ):
            with attempt:
                if not _is_on_this_machine(dsn) and await pools_transactions(dsn):
                    raise TRANSACTION_POOLER
                return await asyncpg.create_pool(
                    dsn, min_size=1, max_size=size, timeout=5, command_timeout=STATEMENT_SECONDS
                )
    except (TimeoutError, OSError, asyncpg.PostgresError) as error:
        raise DatabaseAway(
            f"The database does not answer ({type(error).__name__}). Is DATABASE_URL right?"
        ) from error
    raise DatabaseAway("The database does not answer.")


def _is_on_this_machine(dsn: str) -> bool:
    """Tell whether an address is a socket's, as that of the embedded Postgres, which has no pooler."""
    return "host=/" in dsn or "host=%2F" in dsn


async def bind_master_key(connection: asyncpg.Connection[asyncpg.Record], vault: Vault) -> None:
    """Bind the database to another master key; whoever calls this seals all secrets anew."""
    await connection.execute("update installation set master_key_fingerprint = $1", vault.fingerprint)


async def check_master_key(pool: Pool, vault: Vault) -> None:
    """Bind the database to the master key at first use, and refuse another one afterwards.

    Raises:
        UnsuitableDatabase: the rows were written under another master key.
    """
    stored = await pool.fetchval(
        "with made as (insert into installation (master_key_fingerprint) values ($1)"
        " on conflict do nothing returning master_key_fingerprint)"
        " select master_key_fingerprint from made union all select master_key_fingerprint from installation",
        vault.fingerprint,
    )
    if bytes(stored) != vault.fingerprint:
        raise UnsuitableDatabase(
            "This database was written under another master key. "
            "Set SHMASTRA_MASTER_KEY or SHMASTRA_MASTER_KEY_FILE to that key."
        )
