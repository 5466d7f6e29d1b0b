"""Somebody whom an identity provider has vouched for becomes a user of this cloud, the same one each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from shmastra_cloud.database import transaction
from shmastra_cloud.identity.errors import EmailTaken, ShutOut
from shmastra_cloud.identity.membership import MEMBERSHIP, write_arrival

if TYPE_CHECKING:
    from uuid import UUID

    from shmastra_cloud.database import Row
    from shmastra_cloud.identity.users import Users

Source = Literal["workos", "oidc"]
COLUMNS: dict[Source, str] = {"workos": "workos_id", "oidc": "oidc_id"}


@dataclass(frozen=True)
class Arrival:
    """What a provider says of somebody who has just signed in and may come in.

    ``subject`` is the provider's lasting id of him (for OpenID Connect together with the issuer); ``email``
    is one that the provider has verified; ``admin`` is None where the provider says nothing about roles.
    """

    source: Source
    subject: str
    email: str
    admin: bool | None = None


async def admit(users: Users, arrival: Arrival) -> UUID:
    """Return the user that somebody is: found by the provider's id, else by the verified email, else made.

    A new email at the provider becomes the user's, unless another user has it. Who was shut out because his
    membership ended is let in again, since it has not.

    Raises:
        ShutOut: an admin has disabled him here.
        EmailTaken: the email belongs to a user whom the same provider knows under another id.
    """
    column, email = COLUMNS[arrival.source], arrival.email.strip().lower()
    pool = users.pool
    known: Row | None = await pool.fetchrow(
        f"select id, email from users where {column} = $1",  # noqa: S608  # one of two names of ours
        arrival.subject,
    )
    user_id: UUID = known["id"] if known is not None else await users.invite(email)
    async with transaction(pool) as connection:
        row = await connection.fetchrow("select * from users where id = $1 for update", user_id)
        if row is None or row[column] not in (None, arrival.subject):
            raise EmailTaken(
                f"{email} belongs to somebody else here. Ask an admin: `shmastra user remove` makes it free."
            )
        if row["disabled_at"] is not None and row["disabled_because"] != MEMBERSHIP:
            raise ShutOut("An admin of this cloud has disabled you.")
        taken = await connection.fetchval(
            "select exists (select from users where email = $1 and id <> $2)", email, user_id
        )
        role = row["role"] if arrival.admin is None else "admin" if arrival.admin else "member"
        await connection.execute(
            f"update users set {column} = $2, email = $3, role = $4, disabled_at = null,"  # noqa: S608
            " disabled_because = null where id = $1",
            user_id,
            arrival.subject,
            row["email"] if taken else email,
            role,
        )
        await write_arrival(connection, row, arrival.source, role, new=row[column] is None)
    return user_id
