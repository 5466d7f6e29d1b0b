"""Users and their virtual keys, in the database."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Literal, cast

from shmastra_cloud.database import transaction, under_present_key
from shmastra_cloud.identity.errors import LastAdmin, UnknownUser
from shmastra_cloud.identity.keys import PURPOSE_KEY, key_hash, new_virtual_key
from shmastra_cloud.identity.membership import MEMBERSHIP, write_ended

if TYPE_CHECKING:
    import asyncpg

    from shmastra_cloud.database import Pool, Row
    from shmastra_cloud.secrets_at_rest import Vault

    Connection = asyncpg.Connection[asyncpg.Record]


async def owner_of_key(pool: Pool, sha256: bytes) -> uuid.UUID | None:
    """Return whose key has that hash, unless he is disabled; needs no master key."""
    found: uuid.UUID | None = await pool.fetchval(
        "select id from users where virtual_key_hash = $1 and disabled_at is null", sha256
    )
    return found


async def renew_keys(connection: Connection, vault: Vault) -> int:
    """Give every user a new virtual key, sealed under another master key than the old one; return how many.

    The old keys are refused. Whoever calls this has the sandboxes given the new ones.
    """
    rows = await connection.fetch("select id from users")
    for row in rows:
        key = new_virtual_key(row["id"])
        await connection.execute(
            "update users set virtual_key = $2, virtual_key_hash = $3 where id = $1",
            row["id"],
            vault.seal(key, PURPOSE_KEY),
            key_hash(key),
        )
    return len(rows)


class Users:
    """What can be done to users. An email is compared in lower case."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self.pool = pool
        self._vault = vault

    def on(self, pool: Pool) -> Users:
        """Return the same, in a transaction (:func:`~shmastra_cloud.database.transaction`)."""
        return Users(pool, self._vault)

    async def invite(self, email: str, *, admin: bool = False) -> uuid.UUID:
        """Make a user, or find the one with that email; ``admin`` promotes, its absence never demotes."""
        user_id = uuid.uuid4()
        key = new_virtual_key(user_id)

        async def write(pool: Pool) -> uuid.UUID:
            found: uuid.UUID = await pool.fetchval(
                "insert into users (id, email, role, virtual_key, virtual_key_hash)"
                " values ($1, $2, $3, $4, $5)"
                " on conflict (email) do update set role ="
                " case when excluded.role = 'admin' then 'admin' else users.role end returning id",
                user_id,
                email.strip().lower(),
                "admin" if admin else "member",
                self._vault.seal(key, PURPOSE_KEY),
                key_hash(key),
            )
            return found

        return await under_present_key(self.pool, self._vault, write)

    async def find(self, email: str) -> uuid.UUID:
        """Return the id of the user with that email.

        Raises:
            UnknownUser: there is none.
        """
        found: uuid.UUID | None = await self.pool.fetchval(
            "select id from users where email = $1", email.strip().lower()
        )
        if found is None:
            raise UnknownUser(f"No user has the email {email}. `shmastra user list` shows all.")
        return found

    async def all(self) -> list[Row]:
        """Return every user, oldest first."""
        return await self.pool.fetch(
            "select id, email, role, disabled_at, disabled_because, created_at from users"
            " order by created_at, email"
        )

    async def set_role(self, user_id: uuid.UUID, role: Literal["member", "admin"]) -> str:
        """Make a user an admin or a member, and return what he was.

        Raises:
            LastAdmin: nobody else who may come in is an admin.
        """
        async with self.pool.acquire() as connection, connection.transaction():
            if role == "member":
                await self.on(cast("Pool", connection)).check_not_last_admin(user_id)
            before: str = await connection.fetchval(
                "select role from users where id = $1 for no key update", user_id
            )
            await connection.execute("update users set role = $2 where id = $1", user_id, role)
        return before

    async def check_not_last_admin(self, user_id: uuid.UUID) -> None:
        """Make sure that others than this user are admins, until the transaction ends.

        Raises:
            LastAdmin: he is one, and nobody else is who may come in.
        """
        rows = await self.pool.fetch(
            "select id from users where role = 'admin' and disabled_at is null order by id for no key update"
        )
        if [row["id"] for row in rows] == [user_id]:
            raise LastAdmin("This is the last admin. Make somebody else one first: `shmastra user role`.")

    async def is_admin(self, user_id: uuid.UUID) -> bool:
        """Tell whether a user is an admin, whether or not he may come in."""
        return bool(await self.pool.fetchval("select role = 'admin' from users where id = $1", user_id))

    async def sign_out(self, user_id: uuid.UUID) -> int:
        """End every session of a user, and return how many there were."""
        done: str = await self.pool.execute("delete from sessions where user_id = $1", user_id)
        return int(done.rsplit(maxsplit=1)[-1])

    async def set_disabled(self, email: str, *, disabled: bool) -> None:
        """Shut a user out (sessions end, the key is refused, his sandbox is idle) or let him in again.

        Raises:
            UnknownUser: there is none.
        """
        await self.shut_out(await self.find(email), because="admin" if disabled else None)

    async def shut_out(self, user_id: uuid.UUID, *, because: str | None) -> None:
        """Shut a user out for a reason (``admin``, ``membership``), or with None let him in again.

        What an admin has done is not softened by a membership that ends later.
        """
        async with transaction(self.pool) as connection:
            if because == MEMBERSHIP:
                await write_ended(connection, user_id)
            await connection.execute(
                "update users set"
                " disabled_at = case when $2::text is not null then coalesce(disabled_at, now()) end,"
                " disabled_because = case when $2 = 'membership' then coalesce(disabled_because,"
                " case when disabled_at is null then $2 else 'admin' end) else $2 end where id = $1",
                user_id,
                because,
            )
            if because is not None:
                await connection.execute("delete from sessions where user_id = $1", user_id)
                await connection.execute(
                    "update sandboxes set awake_until = now() where user_id = $1", user_id
                )

    async def remove(self, email: str) -> None:
        """Forget a user with his sessions and links; what he used stays, without his name.

        Raises:
            UnknownUser: there is none.
        """
        await self.pool.execute("delete from users where id = $1", await self.find(email))

    async def rotate_key(self, email: str) -> None:
        """Replace a user's virtual key; the old one is refused at once, the sandbox is given the new one."""
        user_id = await self.find(email)
        key = new_virtual_key(user_id)

        async def write(pool: Pool) -> None:
            await pool.execute(
                "update users set virtual_key = $2, virtual_key_hash = $3 where id = $1",
                user_id,
                self._vault.seal(key, PURPOSE_KEY),
                key_hash(key),
            )
            await pool.execute(
                "update sandboxes set wanted_env_version = wanted_env_version + 1 where user_id = $1", user_id
            )

        await under_present_key(self.pool, self._vault, write)

    async def virtual_key(self, user_id: uuid.UUID) -> str:
        """Return a user's key, for the one place it goes to: his sandbox's ``.env``."""
        sealed = await self.pool.fetchval("select virtual_key from users where id = $1", user_id)
        return self._vault.open(bytes(sealed), PURPOSE_KEY)

    async def owner_of_key(self, sha256: bytes) -> uuid.UUID | None:
        """Return whose key has that hash, unless he is disabled."""
        return await owner_of_key(self.pool, sha256)

    async def admin_has_signed_in(self) -> bool:
        """Tell whether any admin ever came in."""
        return bool(
            await self.pool.fetchval(
                "select exists (select from users where role = 'admin' and first_sign_in_at is not null)"
            )
        )
