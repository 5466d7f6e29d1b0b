"""The database: does it answer, is it new enough, up to date, ours, closed to others, near, in time."""

from __future__ import annotations

import asyncio
import datetime as dt
import statistics
import time
from typing import TYPE_CHECKING, Any

from shmastra_cloud.database import (
    OLDEST,
    TROUBLE,
    DatabaseError,
    UnsuitableDatabase,
    open_pool,
    schema,
    shown,
)
from shmastra_cloud.doctor.check import Check, failed, ok, warning
from shmastra_cloud.secrets_at_rest import MasterKeyError, find_vault, key_name

if TYPE_CHECKING:
    from shmastra_cloud.database import Pool
    from shmastra_cloud.settings import Settings

SECONDS = 5
HEARD_SECONDS = 2
# A sandbox's lease lasts 10 s by the database's clock; whether a workspace is idle is read by a process's.
CLOCK_SECONDS = 2.0
# A page asks several times, one after the other.
LATENCY_SECONDS = 0.05
PINGS = 5

NOTIFY = "notify shmastra_doctor"
VERSION = "select current_setting('server_version_num')::int"
API_RIGHTS = """
  select distinct relname as name from pg_class c, pg_roles r
  where c.relnamespace = 'public'::regnamespace and r.rolname in ('anon', 'authenticated') and case
    when c.relkind = 'S' then has_sequence_privilege(r.oid, c.oid, 'usage, select, update')
    when c.relkind in ('r', 'p', 'v', 'm') then
      has_table_privilege(r.oid, c.oid, 'select, insert, update, delete, truncate')
      or has_any_column_privilege(r.oid, c.oid, 'select, insert, update')
    end order by 1"""
OPEN_TABLES = """
  select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
  and not relrowsecurity order by 1"""
PLACES = """
  select least(current_setting('max_connections')::int
      - current_setting('superuser_reserved_connections')::int
      - coalesce(current_setting('reserved_connections', true)::int, 0),
    (select nullif(rolconnlimit, -1) from pg_roles where rolname = current_user),
    (select nullif(datconnlimit, -1) from pg_database where datname = current_database())) as most,
    (select count(*) from pg_stat_activity
     where backend_type = 'client backend' and application_name not like 'shmastra %') as others"""
RIGHTS = """
  select current_user as who, has_schema_privilege('public', 'create') as create,
    coalesce(row_security_active(to_regclass('public.users')), false) as hidden,
    coalesce(has_table_privilege(to_regclass('public.users'), 'select'), true)
      and coalesce(has_table_privilege(to_regclass('public.users'), 'update'), true) as tables"""


async def check_database(settings: Settings, pool: Pool) -> list[Check]:
    """Ask the database; where it does not answer, that is all there is to tell."""
    where = address(settings)
    try:
        async with asyncio.timeout(4 * SECONDS):
            version = await pool.fetchval(VERSION, timeout=SECONDS)
            return [
                ok("database", where),
                _version(version),
                await _rights(pool),
                await _notifications(pool),
                await _schema(pool),
                await _privacy(pool),
                await _secrets(settings, pool),
                await _connections(settings, pool),
                await _clock(pool),
                await _latency(pool),
            ]
    except TROUBLE as error:
        reason = f"{where} does not answer ({type(error).__name__})"
        return [failed("database", reason, "Is it running? Is DATABASE_URL right?")]


async def check_stopped_database(settings: Settings) -> list[Check]:
    """Ask a database that runs elsewhere; say of the embedded one whether it is there."""
    if settings.database_url is None:
        made = "is stopped" if (settings.data / "postgres").exists() else "is not made yet"
        where = settings.data / "postgres"
        return [warning("database", f"the embedded one in {where} {made}", "shmastra up")]
    try:
        pool = await open_pool(settings.database_url.get_secret_value(), patience=SECONDS, size=2)
    except UnsuitableDatabase as error:
        return [failed("database", f"{address(settings)}: {error}", "Correct DATABASE_URL as it says.")]
    except DatabaseError as error:
        return [failed("database", f"{address(settings)}: {error}", "Start it, or correct DATABASE_URL.")]
    try:
        return await check_database(settings, pool)
    finally:
        await pool.close()


def address(settings: Settings) -> str:
    """Return where the database is, without a password."""
    return shown(settings.database_url.get_secret_value()) if settings.database_url else "the embedded one"


def _version(number: int) -> Check:
    found = f"Postgres {number // 10000}.{number % 10000}"
    if number // 10000 < OLDEST:
        return failed("database_version", found, f"Upgrade it to {OLDEST} or newer.")
    return ok("database_version", found)


async def _rights(pool: Pool) -> Check:
    row: Any = await pool.fetchrow(RIGHTS, timeout=SECONDS)
    if row["hidden"]:
        detail = f"row level security hides every row from {row['who']}"
        fix = "Put the role that migrated the database into DATABASE_URL, or give this one BYPASSRLS."
        return failed("database_rights", detail, fix)
    if not row["tables"]:
        detail = f"{row['who']} may not read and write the tables"
        return failed("database_rights", detail, "Put the role that owns the tables into DATABASE_URL.")
    if not row["create"]:
        detail = f"{row['who']} may not create tables in the schema public, which migrations do"
        return warning("database_rights", detail, f'grant usage, create on schema public to "{row["who"]}"')
    return ok("database_rights", f"as {row['who']}")


async def _notifications(pool: Pool) -> Check:
    """Hear a notification of our own, as processes hear of each other's changes."""
    heard = asyncio.Event()

    def hear(*_told: object) -> None:
        heard.set()

    async with pool.acquire() as connection:
        await connection.add_listener("shmastra_doctor", hear)
        try:
            await connection.execute(NOTIFY, timeout=SECONDS)
            async with asyncio.timeout(HEARD_SECONDS):
                await heard.wait()
        except TimeoutError:
            fix = "Use a connection that lasts: the direct string, or a pooler in session mode."
            return failed("database_notifications", "LISTEN hears nothing", fix)
        finally:
            await connection.remove_listener("shmastra_doctor", hear)
    return ok("database_notifications", "LISTEN hears")


async def _schema(pool: Pool) -> Check:
    stands = await schema(pool)
    if stands.pending:
        return failed("database_schema", f"it lacks {', '.join(stands.pending)}", "shmastra migrate")
    if stands.unknown:
        detail = f"another version applied {', '.join(stands.unknown)}"
        return failed("database_schema", detail, "Update this installation to that version.")
    if stands.changed:
        fix = "git checkout supabase/migrations; a change is a migration of its own."
        return failed("database_schema", f"the text of {', '.join(stands.changed)} was changed since", fix)
    return ok("database_schema", "up to date")


async def _privacy(pool: Pool) -> Check:
    open_tables = [row["name"] for row in await pool.fetch(OPEN_TABLES, timeout=SECONDS)]
    readable = [row["name"] for row in await pool.fetch(API_RIGHTS, timeout=SECONDS)]
    names = sorted({*open_tables, *readable})
    if not names:
        return ok("database_privacy", "row level security on, nothing for anon and authenticated")
    quoted = ", ".join(f"'{name}'" for name in names)
    detail = f"without row level security or open to Supabase's anon key: {', '.join(names)}"
    return warning("database_privacy", detail, f"select public.close_to_api_roles({quoted});")


async def _secrets(settings: Settings, pool: Pool) -> Check:
    name = "database_secrets"
    if await pool.fetchval("select to_regclass('public.retired_master_keys') is null", timeout=SECONDS):
        return warning(name, "the schema is not up to date", "shmastra migrate")
    row: Any = await pool.fetchrow(
        "select master_key_fingerprint as present, retiring_key_fingerprint as retiring from installation",
        timeout=SECONDS,
    )
    if row is None:
        return ok(name, "none yet")
    retired = await pool.fetch("select fingerprint from retired_master_keys", timeout=SECONDS)
    try:
        vault = find_vault(settings)
    except MasterKeyError as error:
        return failed(name, str(error), "Put back the key that this installation was made with.")
    held = frozenset[bytes]() if vault is None else vault.fingerprints
    return _told(row["present"], row["retiring"], {one["fingerprint"] for one in retired}, held)


def _told(present: bytes, retiring: bytes | None, retired: set[bytes], held: frozenset[bytes]) -> Check:
    name, which = "database_secrets", f"sealed under the master key {key_name(present)}"
    if present not in held:
        was = "a key that was replaced" if held & retired else "another master key, or none"
        fix = "Set SHMASTRA_MASTER_KEY or SHMASTRA_MASTER_KEY_FILE to that key."
        return failed(name, f"{which}, but at hand is {was}", fix)
    if retiring is not None:
        detail = f"{which}, some still under {key_name(retiring)}: a rotation was interrupted"
        return warning(name, detail, "shmastra key rotate-master")
    if gone := held & retired:
        names = ", ".join(sorted(map(key_name, gone)))
        return warning(name, f"{which}; {names} is retired and still at hand", "Take it out where it stands.")
    return ok(name, which)


async def _connections(settings: Settings, pool: Pool) -> Check:
    """Compare what is left to us with what this machine's processes may take."""
    row: Any = await pool.fetchrow(PLACES, timeout=SECONDS)
    need = (settings.web_workers + 1) * (settings.database_connections + 1)
    left = row["most"] - row["others"]
    told = f"up to {need} for this machine's processes, {left} of {row['most']} are left"
    if left < need:
        fix = f"Lower SHMASTRA_DATABASE_CONNECTIONS ({settings.database_connections}), or have more."
        return warning("database_connections", told, fix)
    return ok("database_connections", told)


async def _clock(pool: Pool) -> Check:
    before = dt.datetime.now(dt.UTC)
    there: dt.datetime = await pool.fetchval("select clock_timestamp()", timeout=SECONDS)
    after = dt.datetime.now(dt.UTC)
    ahead = (there - after if there > after else min(there - before, dt.timedelta(0))).total_seconds()
    if abs(ahead) > CLOCK_SECONDS:
        way = "ahead of" if ahead > 0 else "behind"
        detail = f"the database's clock is {abs(ahead):.1f} s {way} this machine's"
        return warning("database_clock", detail, "Have both machines take their time from NTP.")
    return ok("database_clock", "the same as this machine's")


async def _latency(pool: Pool) -> Check:
    async with pool.acquire() as connection:
        taken = []
        for _ in range(PINGS):
            began = time.perf_counter()
            await connection.fetchval("select 1", timeout=SECONDS)
            taken.append(time.perf_counter() - began)
    median = statistics.median(taken)
    told = f"a query takes {median * 1000:.1f} ms"
    if median > LATENCY_SECONDS:
        return warning("database_latency", told, "Run the cloud in the database's region.")
    return ok("database_latency", told)
