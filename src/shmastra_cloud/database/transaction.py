"""Several features' changes in one transaction: each is given what looks to it like a pool."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shmastra_cloud.database.pool import Pool


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Pool]:
    """Give a pool whose only connection is in a transaction, which ends with the block.

    A transaction begun on it is a savepoint of this one. It serves one task at a time.
    """
    async with pool.acquire() as connection, connection.transaction():
        yield cast("Pool", _OneConnection(connection))


class _OneConnection:
    """Queries go to the connection; acquiring gives it, too."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        yield self._connection
