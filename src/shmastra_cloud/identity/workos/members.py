"""Users whom WorkOS knows, kept as it says: in or out, admin or not."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from shmastra_cloud.database import transaction
from shmastra_cloud.identity.membership import MEMBERSHIP, write_arrival
from shmastra_cloud.identity.workos.errors import Away

if TYPE_CHECKING:
    from uuid import UUID

    from shmastra_cloud.identity.users import Users
    from shmastra_cloud.identity.workos.news import News
    from shmastra_cloud.identity.workos.provider import Provider

log = logging.getLogger(__name__)


class Members:
    """Keeps users as WorkOS has them. Each call may be repeated, and come late or out of order."""

    def __init__(self, users: Users, provider: Provider, admin_roles: frozenset[str]) -> None:
        self._users, self._provider, self._admin_roles = users, provider, admin_roles
        self._pool = users.pool

    def is_admin(self, roles: frozenset[str]) -> bool:
        """Tell whether one of a member's roles makes an admin here."""
        return not roles.isdisjoint(self._admin_roles)

    async def hear(self, news: News) -> None:
        """Do what an event calls for.

        Raises:
            Away: WorkOS does not say how he is now, and the event does not say that he is out.
        """
        if news.session is not None:
            await self._pool.execute(
                "delete from sessions where source = 'workos' and provider_session = $1", news.session
            )
        if news.user is not None:
            await self.look(news.user, gone=news.gone)

    async def look(self, subject: str, *, gone: bool = False) -> None:
        """Ask WorkOS whether somebody is a member, and with which roles; ``gone`` counts if it is away.

        Raises:
            Away: WorkOS is, and ``gone`` does not say that he is out.
        """
        user_id = await self._pool.fetchval("select id from users where workos_id = $1", subject)
        if user_id is None:
            return
        try:
            roles = await self._provider.roles(subject)
        except Away:
            if not gone:
                raise
            roles = None
        await self.settle(user_id, roles)

    async def settle(self, user_id: UUID, roles: frozenset[str] | None) -> None:
        """Let a user be what WorkOS says; None is no member. What an admin here has disabled stays so."""
        if roles is None:
            if await self._pool.fetchval("select disabled_at is null from users where id = $1", user_id):
                log.info("user %s is no member at WorkOS any more, and is shut out", user_id)
                await self._users.shut_out(user_id, because=MEMBERSHIP)
            return
        role = "admin" if self.is_admin(roles) else "member"
        async with transaction(self._pool) as connection:
            row = await connection.fetchrow("select * from users where id = $1 for no key update", user_id)
            if row is None or (row["role"] == role and row["disabled_at"] is None):
                return
            if row["disabled_at"] is not None and row["disabled_because"] != MEMBERSHIP:
                return
            await connection.execute(
                "update users set role = $2, disabled_at = null, disabled_because = null where id = $1",
                user_id,
                role,
            )
            await write_arrival(connection, row, "workos", role, new=False)

    async def compare(self) -> None:
        """Compare all users whom WorkOS knows with all members there, whatever events may have been missed.

        Raises:
            Away: WorkOS is.
        """
        members = await self._provider.everybody()
        for row in await self._pool.fetch("select id, workos_id from users where workos_id is not null"):
            subject = row["workos_id"]
            if subject in members:
                await self.settle(row["id"], members[subject])
            else:  # he may have come while the list was read
                await self.look(subject)
