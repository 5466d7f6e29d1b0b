"""Workspaces in the database: every read and write of ``sandboxes`` and ``sandbox_events``.

A row is worked on under a lease: ``fence`` grows with each taker; a write under an older fence is refused.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shmastra_cloud.awake import Awake
from shmastra_cloud.database import under_present_key
from shmastra_cloud.workspaces.errors import LeaseLost, UnknownWorkspace
from shmastra_cloud.workspaces.status import Status, as_status, check_transition

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from shmastra_cloud.database import Pool, Row
    from shmastra_cloud.secrets_at_rest import Vault

LEASE = dt.timedelta(seconds=10)
HEALING_SECONDS = 180
PURPOSE_MASTRA = "sandboxes.mastra_token"
PURPOSE_TRAFFIC = "sandboxes.traffic_token"

_COLUMNS = (
    "s.id, s.user_id, s.sandbox_id, s.sandbox_host, s.status, s.stage, s.attempt, s.error_message, s.version,"
    " s.mastra_token, s.traffic_token, s.wanted_env_version, s.env_version, s.fence, s.reset_wanted,"
    " s.status_since, s.awake_until, s.engine_until, s.created_at, s.last_active_at, s.awake_because"
)


@dataclass(frozen=True)
class Workspace:
    """One row of ``sandboxes``, with its tokens opened."""

    id: UUID
    user_id: UUID
    sandbox_id: str | None
    sandbox_host: str | None
    status: Status
    stage: str
    attempt: int
    error: str | None
    version: str | None
    mastra_token: str
    traffic_token: str | None
    wanted_env_version: int
    env_version: int
    fence: int
    reset_wanted: bool
    status_since: dt.datetime
    idle: bool


class Workspaces(Awake):
    """Reads and writes workspaces."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        super().__init__(pool)
        self._vault = vault

    async def ensure(self, user_id: UUID) -> Workspace:
        """Return the user's workspace, wanting one first if there is none."""
        found = await self.find(user_id)
        if found is not None:
            return found
        token = secrets.token_urlsafe(32)
        await under_present_key(
            self._pool,
            self._vault,
            lambda pool: pool.execute(
                "with made as (insert into sandboxes (user_id, mastra_token) values ($1, $2)"
                " on conflict do nothing returning id)"
                " insert into sandbox_events (sandbox, actor, reason, to_status)"
                " select id, 'web', 'first visit', 'provisioning' from made",
                user_id,
                self._vault.seal(token, PURPOSE_MASTRA),
            ),
        )
        return await self.get(user_id)

    async def find(self, user_id: UUID) -> Workspace | None:
        """Return the user's workspace, or None."""
        row = await self._pool.fetchrow(f"select {_COLUMNS} from sandboxes s where user_id = $1", user_id)  # noqa: S608
        return None if row is None else self._read(row)

    async def get(self, user_id: UUID) -> Workspace:
        """Return the user's workspace.

        Raises:
            UnknownWorkspace: he has none.
        """
        found = await self.find(user_id)
        if found is None:
            raise UnknownWorkspace("This user has no workspace yet.")
        return found

    async def ready(self) -> list[Workspace]:
        """Return every workspace whose sandbox is ready."""
        rows = await self._pool.fetch(f"select {_COLUMNS} from sandboxes s where status = 'ready'")  # noqa: S608
        return [self._read(row) for row in rows]

    async def events(self, workspace_id: UUID, limit: int = 20) -> list[Row]:
        """Return the latest changes, newest first."""
        return await self._pool.fetch(
            "select actor, reason, from_status, to_status, created_at from sandbox_events"
            " where sandbox = $1 order by id desc limit $2",
            workspace_id,
            limit,
        )

    async def overview(self, user_id: UUID | None = None) -> list[Row]:
        """Return every workspace (or one user's) as the fleet shows it, oldest first."""
        return await self._pool.fetch(
            "select u.email, s.sandbox_id, s.status, s.error_message as error, s.version, s.awake_because,"
            " s.created_at, s.last_active_at from sandboxes s join users u on u.id = s.user_id"
            " where $1::uuid is null or s.user_id = $1 order by s.created_at",
            user_id,
        )

    async def owner(self, name: str) -> UUID:
        """Return whose sandbox has that id, or who has that email, in any case of letters.

        Raises:
            UnknownWorkspace: nobody; the message says what to do.
        """
        row = await self._pool.fetchrow(
            "select u.id, s.id is not null as has_one from users u left join sandboxes s on s.user_id = u.id"
            " where s.sandbox_id = $1 or u.email = lower(trim($1))",
            name,
        )
        if row is None:
            raise UnknownWorkspace(f"There is no sandbox {name}. `shmastra sandbox list` shows all.")
        if not row["has_one"]:
            raise UnknownWorkspace(f"{name} has no sandbox yet; it is made when he first signs in.")
        found: UUID = row["id"]
        return found

    async def claim(self, owner: str) -> Workspace | None:
        """Take the lease on one row that something must be done about, or return None."""
        row = await self._pool.fetchrow(
            f"update sandboxes s set lease_owner = $1, lease_until = now() + $2, fence = fence + 1"  # noqa: S608
            " where s.id = (select id from sandboxes where (lease_until is null or lease_until < now()) and"
            " (status = 'provisioning' or (status = 'ready' and (awake_until < now()"
            " or env_version <> wanted_env_version or engine_until < now() + interval '60 seconds'))"
            " or (status = 'healing' and status_since < now() - make_interval(secs => $3)))"
            f" order by status_since limit 1 for update skip locked) returning {_COLUMNS}",
            owner,
            LEASE,
            float(HEALING_SECONDS),
        )
        return None if row is None else self._read(row)

    async def take(self, user_id: UUID, owner: str) -> Workspace | None:
        """Take the lease on a user's paused or ready row, or return None where another holds it."""
        row = await self._pool.fetchrow(
            f"update sandboxes s set lease_owner = $2, lease_until = now() + $3, fence = fence + 1"  # noqa: S608
            " where user_id = $1 and status in ('paused', 'ready')"
            f" and (lease_until is null or lease_until < now()) returning {_COLUMNS}",
            user_id,
            owner,
            LEASE,
        )
        return None if row is None else self._read(row)

    async def seize(self, user_id: UUID, owner: str) -> Workspace | None:
        """Take the lease on a user's row, whatever its status, or return None where another holds it."""
        row = await self._pool.fetchrow(
            f"update sandboxes s set lease_owner = $2, lease_until = now() + $3, fence = fence + 1"  # noqa: S608
            f" where user_id = $1 and (lease_until is null or lease_until < now()) returning {_COLUMNS}",
            user_id,
            owner,
            LEASE,
        )
        return None if row is None else self._read(row)

    async def delete(self, workspace: Workspace) -> None:
        """Forget a workspace, and tell every process; the next sign-in begins afresh.

        Raises:
            LeaseLost: another process holds the row.
        """
        gone = await self._pool.fetchval(
            "with gone as (delete from sandboxes where id = $1 and fence = $2 returning user_id)"
            " select pg_notify('sandbox', user_id::text) is not null from gone",
            workspace.id,
            workspace.fence,
        )
        if gone is None:
            raise LeaseLost("Another process has taken this workspace over.")

    async def renew(self, workspace: Workspace) -> None:
        """Keep the lease for another while.

        Raises:
            LeaseLost: another process holds it.
        """
        await self._under_lease(workspace, "lease_until = now() + $3", LEASE)

    async def release(self, workspace: Workspace, after: dt.timedelta = dt.timedelta(0)) -> None:
        """Give the lease back; nobody takes the row before ``after`` has passed."""
        await self._pool.execute(
            "update sandboxes set lease_owner = null, lease_until = now() + $3 where id = $1 and fence = $2",
            workspace.id,
            workspace.fence,
            after,
        )

    async def stage(self, workspace: Workspace, stage: str) -> None:
        """Record how far provisioning has come.

        Raises:
            LeaseLost: another process holds the row.
        """
        await self._under_lease(workspace, "stage = $3, updated_at = now()", stage)

    async def located(
        self, workspace: Workspace, sandbox_id: str, host: str | None, traffic_token: str | None
    ) -> None:
        """Record which sandbox carries the workspace.

        Raises:
            LeaseLost: another process holds the row.
        """
        await under_present_key(
            self._pool,
            self._vault,
            lambda pool: Workspaces(pool, self._vault)._under_lease(  # noqa: SLF001 -- the same, in a transaction
                workspace,
                "sandbox_id = $3, sandbox_host = $4, reset_wanted = false,"
                " traffic_token = coalesce($5, traffic_token)",
                sandbox_id,
                host,
                self._vault.seal(traffic_token, PURPOSE_TRAFFIC) if traffic_token else None,
            ),
        )

    async def unlocated(self, workspace: Workspace) -> None:
        """Record that the sandbox is gone.

        Raises:
            LeaseLost: another process holds the row.
        """
        await self._under_lease(
            workspace, "sandbox_id = null, sandbox_host = null, traffic_token = null, env_version = 0"
        )

    async def extended(self, workspace: Workspace, seconds: int) -> None:
        """Record for how long the service keeps the sandbox without hearing from us.

        Raises:
            LeaseLost: another process holds the row.
        """
        await self._under_lease(workspace, "engine_until = now() + make_interval(secs => $3)", float(seconds))

    async def woken(
        self, workspace: Workspace, because: str, *, engine_seconds: int, idle_seconds: int
    ) -> None:
        """Record that the sandbox was resumed: how long the service keeps it, and how long it is awake.

        Raises:
            LeaseLost: another process holds the row.
        """
        await self._under_lease(
            workspace,
            "engine_until = now() + make_interval(secs => $3),"
            " awake_until = greatest(awake_until, now() + make_interval(secs => $4)),"
            " awake_because = $5, last_active_at = now()",
            float(engine_seconds),
            float(idle_seconds),
            because,
        )

    async def move(  # noqa: PLR0913 -- a change has this many parts
        self,
        workspace: Workspace,
        wanted: Status,
        *,
        actor: str,
        reason: str,
        error: str | None = None,
        attempt: int = 1,
        env_version: int | None = None,
        version: str | None = None,
        only_idle: bool = False,
        under_lease: bool = True,
        check: Callable[[Status, Status], None] = check_transition,
    ) -> bool:
        """Change the status and write the event, in one transaction; False where ``only_idle`` forbids it.

        ``check`` raises for a change that is not legal from the status that the row has by now.

        Raises:
            IllegalTransition: from the status that the row has by now, there is no such change.
            LeaseLost: another process holds the row (with ``under_lease``).
        """
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(
                "select status, fence, awake_until < now() as idle from sandboxes where id = $1 for update",
                workspace.id,
            )
            if row is None or (under_lease and row["fence"] != workspace.fence):
                raise LeaseLost("Another process has taken this workspace over.")
            if only_idle and not row["idle"]:
                return False
            current = as_status(row["status"])
            if current != wanted:
                check(current, wanted)
            await connection.execute(
                "update sandboxes set status = $2, error_message = $3, attempt = $4,"
                " env_version = coalesce($5, env_version), version = coalesce($6, version),"
                " stage = case when $2 = 'provisioning' then 'queued' else $2 end,"
                " lease_until = case when $7 then lease_until end, status_since = now(), updated_at = now()"
                " where id = $1",
                workspace.id,
                wanted,
                error,
                attempt,
                env_version,
                version,
                under_lease,
            )
            await connection.execute(
                "insert into sandbox_events (sandbox, actor, reason, from_status, to_status)"
                " values ($1, $2, $3, $4, $5)",
                workspace.id,
                actor,
                reason[:500],
                current,
                wanted,
            )
        return True

    async def want_reset(self, workspace: Workspace) -> None:
        """Have the next provisioning begin with a new sandbox."""
        await self._pool.execute("update sandboxes set reset_wanted = true where id = $1", workspace.id)

    async def _under_lease(self, workspace: Workspace, change: str, *values: object) -> None:
        done = await self._pool.execute(
            f"update sandboxes set {change} where id = $1 and fence = $2",  # noqa: S608 -- ours, not a user's
            workspace.id,
            workspace.fence,
            *values,
        )
        if done != "UPDATE 1":
            raise LeaseLost("Another process has taken this workspace over.")

    def _read(self, row: Any) -> Workspace:
        traffic = row["traffic_token"]
        return Workspace(
            id=row["id"],
            user_id=row["user_id"],
            sandbox_id=row["sandbox_id"],
            sandbox_host=row["sandbox_host"],
            status=as_status(row["status"]),
            stage=row["stage"],
            attempt=row["attempt"],
            error=row["error_message"],
            version=row["version"],
            mastra_token=self._vault.open(bytes(row["mastra_token"]), PURPOSE_MASTRA),
            traffic_token=None if traffic is None else self._vault.open(bytes(traffic), PURPOSE_TRAFFIC),
            wanted_env_version=row["wanted_env_version"],
            env_version=row["env_version"],
            fence=row["fence"],
            reset_wanted=row["reset_wanted"],
            status_since=row["status_since"],
            idle=row["awake_until"] < dt.datetime.now(dt.UTC),
        )
