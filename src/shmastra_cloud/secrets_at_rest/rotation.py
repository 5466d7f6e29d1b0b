"""Replaces the master key while web and workers run, and can be killed and run again at any point.

1. The new key is where the processes find it; each that runs says that it has it, or nothing is begun.
2. One transaction makes it the present key. From then on the database refuses what the former one sealed.
3. Every sealed column is sealed anew in batches, each a transaction of its own.
4. When nothing is left under the former key it is retired, in the database and then in its file.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from shmastra_cloud.database import schema
from shmastra_cloud.secrets_at_rest.columns import SEALED
from shmastra_cloud.secrets_at_rest.errors import MasterKeyError, RotationRefused
from shmastra_cloud.secrets_at_rest.holders import HEARD, lacking
from shmastra_cloud.secrets_at_rest.key_file import new_key
from shmastra_cloud.secrets_at_rest.vault import NAME_BYTES, fingerprint_of, key_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import asyncpg

    from shmastra_cloud.database import Pool, Schema
    from shmastra_cloud.secrets_at_rest.columns import SealedColumn
    from shmastra_cloud.secrets_at_rest.vault import Vault

Session: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

LOCK = 0x5348_524F
BATCH = 200
PASSES = 5
FOLLOW_SECONDS = 5
ALONE_SECONDS = 3  # the database may not have noticed yet that one before was killed
POLL_SECONDS = 0.1
STATEMENT_SECONDS = 120  # counting reads whole tables


@dataclass(frozen=True)
class Rotation:
    """What was done: the names of the keys, how many secrets were sealed anew, where the old key is now."""

    new: str
    old: str
    secrets: int
    moved: Path | None


async def rotate(
    pool: Pool, vault: Vault, tell: Callable[[int, int], None], given: bytes | None = None
) -> Rotation:
    """Replace the master key by ``given``, else a spare one of the vault, else, with a file, a new one.

    One that was interrupted is gone on with. ``tell`` is called with how many secrets are done, of how many.

    Raises:
        RotationRefused: it cannot be done, or not wholly, as things are; everything opens as before.
        MasterKeyError: the keys' file cannot be read or written.
    """
    stands = await schema(pool)
    if vault.file is not None:
        vault.file.read()  # one that cannot be read ends it here
        vault.reload()
    async with pool.acquire() as session, _alone(session):
        await _check_columns(stands, session)
        present, retiring = await _state(session)
        if given is not None and vault.file is None:
            vault.add(given)
        _take(vault, present)
        finished = None if retiring else await _tidy(session, vault, present)
        if finished is not None and given is None:
            return finished
        if retiring is None:
            retiring, present = present, await _choose(session, vault, present, given)
            await _make_known(session, present)
            await _switch(session, retiring, present)
        elif given is not None and fingerprint_of(given) != present:
            raise RotationRefused("Another rotation is not finished. Run this once without a new key first.")
        _take(vault, retiring)
        _take(vault, present)
        done = await _seal_anew(session, vault, present, tell)
        await _retire(session, retiring)
        return Rotation(key_name(present), key_name(retiring), done, vault.retire(retiring))


@contextlib.asynccontextmanager
async def _alone(session: Session) -> AsyncIterator[None]:
    try:
        await session.execute("select pg_advisory_lock($1)", LOCK, timeout=ALONE_SECONDS)
    except TimeoutError as error:
        raise RotationRefused(
            "The master key is being replaced already. Wait until that has ended."
        ) from error
    try:
        yield
    finally:
        if not session.is_closed():
            await session.execute("select pg_advisory_unlock($1)", LOCK)


async def _check_columns(stands: Schema, session: Session) -> None:
    """Refuse where the database has sealed columns that this version does not know, or may have."""
    if stands.pending or stands.unknown:
        raise RotationRefused(
            stands.refusal() or f"Run `shmastra migrate` first: {stands.pending[0]}.sql is not applied."
        )
    rows = await session.fetch(
        "select tgrelid::regclass::text as place, tgargs from pg_trigger"
        " where tgfoid = to_regproc('public.check_sealed')"
    )
    there = {
        f"{row['place'].removeprefix('public.')}.{name.decode()}"
        for row in rows
        for name in bytes(row["tgargs"]).split(b"\0")[:-1]
    }
    if there != {column.purpose for column in SEALED}:
        odd = ", ".join(sorted(there ^ {column.purpose for column in SEALED}))
        raise RotationRefused(
            f"This version and the database do not agree on which columns are sealed: {odd}."
        )


async def _state(session: Session) -> tuple[bytes, bytes | None]:
    row = await session.fetchrow("select master_key_fingerprint, retiring_key_fingerprint from installation")
    if row is None:
        raise RotationRefused("This database holds no secrets yet, so there is no master key to replace.")
    retiring = row["retiring_key_fingerprint"]
    return bytes(row["master_key_fingerprint"]), None if retiring is None else bytes(retiring)


def _take(vault: Vault, fingerprint: bytes) -> None:
    try:
        vault.use(fingerprint)
    except MasterKeyError as error:
        raise RotationRefused(f"A rotation needs the old and the new key. {error}") from error


async def _tidy(session: Session, vault: Vault, present: bytes) -> Rotation | None:
    """Move the key away whose rotation was killed at its very end."""
    if vault.file is None:
        return None
    gone = [one for one in await _retired(session) if one in vault.fingerprints]
    moved = [vault.retire(one) for one in gone]
    return Rotation(key_name(present), key_name(gone[-1]), 0, moved[-1]) if gone else None


async def _retired(session: Session) -> list[bytes]:
    rows = await session.fetch("select fingerprint from retired_master_keys order by retired_at")
    return [bytes(row["fingerprint"]) for row in rows]


async def _choose(session: Session, vault: Vault, present: bytes, given: bytes | None) -> bytes:
    retired = await _retired(session)
    if given is not None:
        if fingerprint_of(given) in (present, *retired):
            raise RotationRefused(
                "This key is or was the master key here. Make another: openssl rand -base64 32"
            )
        return vault.add(given)
    spare = sorted(vault.fingerprints - {present, *retired})
    if len(spare) > 1:
        names = ", ".join(map(key_name, spare))
        raise RotationRefused(f"Which key is the new one, {names}? Leave one beside the present one.")
    if spare:
        return spare[0]
    if vault.file is None:
        raise RotationRefused(
            "There is no new key. Make one (openssl rand -base64 32), add it to SHMASTRA_MASTER_KEY behind "
            "the present one and a comma, for each process and for this command, start the processes again, "
            "and run this again. Where nothing runs, --new-key-file gives it to this command alone."
        )
    return vault.add(new_key())


async def _make_known(session: Session, fingerprint: bytes) -> None:
    """Have every process look for the new key, and wait until each says that it has it."""
    without: list[str] = []
    await session.execute("select pg_notify($1, '')", HEARD)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FOLLOW_SECONDS):
            while without := await lacking(session, fingerprint):  # noqa: ASYNC110 -- other processes say so
                await asyncio.sleep(POLL_SECONDS)
    if without:
        raise RotationRefused(
            f"{', '.join(without)} runs without the new key {key_name(fingerprint)}, so nothing was changed. "
            "Put it there too: on a line of its key file, or behind a comma in SHMASTRA_MASTER_KEY and a "
            "restart; or stop it. Then run this again."
        )


async def _switch(session: Session, old: bytes, new: bytes) -> None:
    """Make the new key the present one, as soon as what is being written under the old one is there."""
    done = await session.execute(
        "update installation set master_key_fingerprint = $2, retiring_key_fingerprint = $1,"
        " master_key_changed_at = now() where master_key_fingerprint = $1",
        old,
        new,
        timeout=STATEMENT_SECONDS,
    )
    if done != "UPDATE 1":
        raise RotationRefused("The master key was replaced by something else meanwhile. Run this again.")


async def _seal_anew(session: Session, vault: Vault, present: bytes, tell: Callable[[int, int], None]) -> int:
    done = 0
    for _ in range(PASSES):
        left = sum([await _left(session, column, present) for column in SEALED])
        tell(done, done + left)
        if not left:
            return done
        for column in SEALED:
            async for changed in _pass(session, vault, column, present):
                done += changed
                tell(done, max(done, left))
    raise RotationRefused("Secrets under the old key keep coming. Stop what writes them, and run this again.")


def _under_another(column: SealedColumn) -> str:
    name = column.column
    return (
        f"from public.{column.table} where {name} is not null and"
        f" (get_byte({name}, 0) <> 2 or substring({name} from 2 for {NAME_BYTES}) <> $1)"
    )


async def _left(session: Session, column: SealedColumn, present: bytes) -> int:
    query = f"select count(*) {_under_another(column)}"
    return int(await session.fetchval(query, present[:NAME_BYTES], timeout=STATEMENT_SECONDS))


async def _pass(session: Session, vault: Vault, column: SealedColumn, present: bytes) -> AsyncIterator[int]:
    """Seal a column anew and give how many rows each batch changed."""
    key, name = column.key, column.column
    query = f"select {key} as key, {name} as sealed {_under_another(column)}"
    change = f"update public.{column.table} set {name} = $3 where {key} = $1 and {name} = $2"  # noqa: S608 -- ours
    after = ""
    last: tuple[Any, ...] = ()
    while rows := await session.fetch(
        f"{query}{after} order by {key} limit {BATCH}", present[:NAME_BYTES], *last, timeout=STATEMENT_SECONDS
    ):
        async with session.transaction():
            await session.executemany(
                change, [(row["key"], row["sealed"], _anew(vault, column, row)) for row in rows]
            )
        after, last = f" and {key} > $2", (rows[-1]["key"],)
        yield len(rows)


def _anew(vault: Vault, column: SealedColumn, row: Any) -> bytes:
    try:
        return vault.seal(vault.open(bytes(row["sealed"]), column.purpose), column.purpose)
    except MasterKeyError as error:
        raise RotationRefused(
            f"{column.purpose} of {_shown(row['key'])} does not open, so the old key is kept and the "
            f"rotation is not finished. {error} Replace that secret (a virtual key: `shmastra "
            "key rotate EMAIL`; a token of a sandbox: `shmastra sandbox delete ID`; a session's: delete its "
            "row), and run this again."
        ) from error


def _shown(key: object) -> str:
    return key.hex() if isinstance(key, bytes) else str(key)


async def _retire(session: Session, old: bytes) -> None:
    async with session.transaction():
        await session.execute(
            "insert into retired_master_keys (fingerprint) values ($1)"
            " on conflict (fingerprint) do update set retired_at = now()",
            old,
        )
        await session.execute("update installation set retiring_key_fingerprint = null")
