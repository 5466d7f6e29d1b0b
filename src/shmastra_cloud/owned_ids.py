"""Whose the ids at providers are, in the database; rows go with their user or when they expire."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from shmastra_cloud.database import Pool
    from shmastra_cloud.gateway import OwnedId

PRUNED_AT_ONCE = 10_000


class OwnedIdsInDatabase:
    """Keeps ids for the gateway."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def write(self, rows: Sequence[OwnedId]) -> None:
        """Keep rows; an id that has an owner keeps him, and a user who was removed meanwhile gets none."""
        await self._pool.executemany(
            "insert into owned_ids (provider, id, user_id, expires_at)"
            " select $1, $2, u.id, $4 from users u where u.id = $3 on conflict do nothing",
            rows,
        )

    async def owner(self, provider: str, name: str) -> UUID | None:
        """Return whose an id is, or None where it is not known."""
        found: UUID | None = await self._pool.fetchval(
            "select user_id from owned_ids where provider = $1 and id = $2 and expires_at > now()",
            provider,
            name,
        )
        return found

    async def prune(self) -> None:
        """Forget what has expired, so much at once that nobody waits for it."""
        await self._pool.execute(
            "delete from owned_ids where (provider, id) in"
            " (select provider, id from owned_ids where expires_at < now() limit $1)",
            PRUNED_AT_ONCE,
        )
