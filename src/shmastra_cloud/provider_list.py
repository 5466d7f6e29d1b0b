"""Which further providers sandboxes are told of: said by who has the keys, read by who writes their ``.env``.

The worker has no provider's key and cannot know; the processes that serve the gateway, beside the pages or
alone, say it when they start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shmastra_cloud.database import Pool

_NAMES = "select distinct unnest(names) as name from provider_list order by name"


async def announce(pool: Pool, told_by: Literal["web", "gateway"], names: Sequence[str]) -> bool:
    """Record the names; where that changes what sandboxes are told, have every ``.env`` written anew.

    Returns whether it did.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table provider_list in share row exclusive mode")
        before = await connection.fetch(_NAMES)
        await connection.execute(
            "insert into provider_list (told_by, names) values ($1, $2)"
            " on conflict (told_by) do update set names = excluded.names",
            told_by,
            list(names),
        )
        if await connection.fetch(_NAMES) == before:
            return False
        await connection.execute("update sandboxes set wanted_env_version = wanted_env_version + 1")
        return True


async def announced(pool: Pool) -> list[str]:
    """Return the names that were announced, in alphabetical order."""
    return [row["name"] for row in await pool.fetch(_NAMES)]
