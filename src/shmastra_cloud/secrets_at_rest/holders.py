"""Which running processes have which master keys, as shared advisory locks that end with their sessions.

A process holds one lock that says that it opens secrets, and one for each of its keys. Nothing is stored, so
nothing is left behind by a process that is gone; a lock says the first 4 bytes of a fingerprint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncpg

    from shmastra_cloud.secrets_at_rest.vault import Vault

HEARD = "master_key"  # the channel on which processes are told to look for keys again
LOCKS = 0x5348_4B59
OPENS_SECRETS = 0


class Holding:
    """Tells which keys a vault has, on a session that lasts as long as its process listens."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._session: object = None
        self._told: set[int] = set()

    async def __call__(self, session: asyncpg.Connection[asyncpg.Record]) -> None:
        """Bring what is told up to date, and seal with the key that is the present one by now.

        On a session that is new, the file of keys is read again first.
        """
        if session is not self._session:
            self._session, self._told = session, set()
            self._vault.reload()
        present = await session.fetchval("select master_key_fingerprint from installation")
        if present in self._vault.fingerprints:
            self._vault.use(present)
        wanted = {_lock(fingerprint) for fingerprint in self._vault.fingerprints} | {OPENS_SECRETS}
        for key in wanted - self._told:
            await session.execute("select pg_advisory_lock_shared($1, $2)", LOCKS, key)
        for key in self._told - wanted:
            await session.execute("select pg_advisory_unlock_shared($1, $2)", LOCKS, key)
        self._told = wanted


async def lacking(session: Any, fingerprint: bytes) -> list[str]:
    """Return the names of the running processes that open secrets and do not have that key."""
    rows = await session.fetch(
        "select coalesce(nullif(a.application_name, ''), 'database process ' || l.pid) as name"
        " from pg_locks l left join pg_stat_activity a on a.pid = l.pid"
        " where l.locktype = 'advisory' and l.granted and l.objsubid = 2 and l.classid = $1::bigint::oid"
        " and l.database = (select oid from pg_database where datname = current_database())"
        " group by l.pid, a.application_name"
        " having bool_or(l.objid = $2::bigint::oid) and not bool_or(l.objid = $3::bigint::oid) order by 1",
        LOCKS,
        OPENS_SECRETS,
        _lock(fingerprint) % (1 << 32),
    )
    return [row["name"] for row in rows]


def _lock(fingerprint: bytes) -> int:
    return int.from_bytes(fingerprint[:4], "big", signed=True)
