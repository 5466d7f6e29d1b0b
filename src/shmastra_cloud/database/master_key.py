"""The database's side of the master key: which one seals, and what is written under a former one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import asyncpg

from shmastra_cloud.database.errors import UnsuitableDatabase
from shmastra_cloud.database.transaction import transaction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shmastra_cloud.database.pool import Pool
    from shmastra_cloud.secrets_at_rest import Vault

T = TypeVar("T")
NOT_PRESENT = "SHK01"  # what the trigger `check_sealed` raises
PRESENT = "select master_key_fingerprint, retiring_key_fingerprint from installation"


async def check_master_key(pool: Pool, vault: Vault) -> None:
    """Bind the database to the master key at first use, and have ``vault`` seal with the present one.

    Raises:
        UnsuitableDatabase: secrets were written under a key that is not at hand.
    """
    await pool.execute(
        "insert into installation (master_key_fingerprint) values ($1) on conflict do nothing",
        vault.fingerprint,
    )
    (row,) = await pool.fetch(PRESENT)
    present, retiring = row["master_key_fingerprint"], row["retiring_key_fingerprint"]
    if {present, retiring} - {None} - vault.fingerprints:
        vault.reload()
    if present not in vault.fingerprints:
        raise UnsuitableDatabase(await _foreign(pool, vault))
    if retiring is not None and retiring not in vault.fingerprints:
        raise UnsuitableDatabase(
            "The master key is being replaced, and some secrets are under the former key still. Give both "
            "keys (SHMASTRA_MASTER_KEY with a comma between them, or two lines in the file) until `shmastra "
            "key rotate-master` has ended."
        )
    vault.use(bytes(present))


async def bind_master_key(connection: asyncpg.Connection[asyncpg.Record], vault: Vault) -> None:
    """Bind the database to another master key; whoever calls this makes all secrets anew."""
    await connection.execute(
        "update installation set master_key_fingerprint = $1, retiring_key_fingerprint = null,"
        " master_key_changed_at = now()",
        vault.fingerprint,
    )


async def under_present_key(pool: Pool, vault: Vault, write: Callable[[Pool], Awaitable[T]]) -> T:
    """Return what ``write`` does, which seals something; done once more where the key was replaced meanwhile.

    It is given what it writes to: one transaction, or a savepoint of the one that ``pool`` is.

    Raises:
        MasterKeyError: the new key is not at hand.
        asyncpg.PostgresError: whatever else ``write`` raises.
    """
    try:
        async with transaction(pool) as inside:
            return await write(inside)
    except asyncpg.PostgresError as error:
        if error.sqlstate != NOT_PRESENT:
            raise
    vault.use(bytes(await pool.fetchval("select master_key_fingerprint from installation")))
    async with transaction(pool) as inside:
        return await write(inside)


async def _foreign(pool: Pool, vault: Vault) -> str:
    since = await pool.fetchval(
        "select max(retired_at) from retired_master_keys where fingerprint = any($1)",
        list(vault.fingerprints),
    )
    if since is not None:
        return (
            f"The master key was replaced at {since:%Y-%m-%d %H:%M} UTC, and this process has the one from "
            "before. Set SHMASTRA_MASTER_KEY or SHMASTRA_MASTER_KEY_FILE to the new key."
        )
    return (
        "This database was written under another master key. "
        "Set SHMASTRA_MASTER_KEY or SHMASTRA_MASTER_KEY_FILE to that key."
    )
