"""What keeps sandboxes awake, in the database; needs no master key, so the gateway alone may write it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from shmastra_cloud.database import Pool


class Awake:
    """Writes until when sandboxes are to stay awake, and why."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def keep_awake(
        self, because: Mapping[UUID, str], idle_seconds: int, *, only_enabled: bool = False
    ) -> None:
        """Record activity of many users at once; with ``only_enabled`` disabled users keep nothing awake."""
        await self._pool.execute(
            "update sandboxes s set awake_until = greatest(awake_until, now() + make_interval(secs => $3)),"
            " awake_because = a.because, last_active_at = now()"
            " from unnest($1::uuid[], $2::text[]) as a(user_id, because) where s.user_id = a.user_id"
            " and not ($4 and exists (select from users where id = s.user_id and disabled_at is not null))",
            list(because.keys()),
            list(because.values()),
            float(idle_seconds),
            only_enabled,
        )
