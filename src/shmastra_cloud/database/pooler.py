"""Tells a pooler that lends a server's connection for one transaction, and not for a whole session.

Through one, ``LISTEN`` hears nothing and an advisory lock is another's, and neither says so.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

import asyncpg

from shmastra_cloud.database.address import is_socket

WITNESSES = 3
SECONDS = 5


async def pools_transactions(dsn: str) -> bool:
    """Tell whether two sessions that are open at the same time are served by one process of the database.

    A pooler in session mode gives each session a process of its own while it lasts. One in transaction mode
    lends the process that has just become free; several sessions ask at once, so that one of them gets it.
    On this machine's own sockets, the process that greets a session is asked first whether it serves it: a
    pooler greets with a number of its own.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError: the database does not answer.

    """
    async with AsyncExitStack() as stack:
        first = await _connect(dsn, stack)
        try:
            async with first.transaction():
                ours = await _server(first)
        except asyncpg.ConnectionDoesNotExistError as error:
            if isinstance(error.__cause__, asyncpg.ProtocolViolationError):
                return True  # a pooler in statement mode refuses even a transaction
            raise
        if is_socket(dsn) and first.get_server_pid() == ours:
            return False
        for _ in range(WITNESSES):
            witness = await _connect(dsn, stack)
            await stack.enter_async_context(witness.transaction())
            if await _server(witness) == ours:
                return True
    return False


async def _connect(dsn: str, stack: AsyncExitStack) -> asyncpg.Connection[asyncpg.Record]:
    # What a session prepares would be lost with the server's connection, so nothing is prepared by name.
    connection = await asyncpg.connect(dsn, timeout=SECONDS, command_timeout=SECONDS, statement_cache_size=0)
    stack.callback(connection.terminate)
    return connection


async def _server(connection: asyncpg.Connection[asyncpg.Record]) -> int:
    return int(await connection.fetchval("select pg_backend_pid()"))
