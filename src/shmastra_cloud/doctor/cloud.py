"""The services: the database, the sandbox service, the providers, and the address that browsers use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from shmastra_cloud.database import DatabaseError, open_pool, pending
from shmastra_cloud.doctor.check import Check, failed, ok, warning
from shmastra_cloud.doctor.public import certificate, clock, reach
from shmastra_cloud.doctor.sign_in import sign_in
from shmastra_cloud.gateway import BadConfiguration, providers_from_env, read_own_prices, tiers_from_env
from shmastra_cloud.secrets_at_rest import MasterKeyError, load_vault
from shmastra_cloud.settings import LOOPBACK
from shmastra_cloud.workspaces import Engine, EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shmastra_cloud.database import Pool
    from shmastra_cloud.settings import Settings

SECONDS = 5
UP = "shmastra up"


async def check_cloud(settings: Settings, pool: Pool, engine: Engine) -> list[Check]:
    """Ask everything that a running cloud depends on."""
    return [
        await database(settings, pool),
        await sandboxes(settings, engine),
        *await sandbox_template(settings, engine),
        providers(settings, os.environ),
        public_url(settings),
        await sign_in(settings),
        *certificate(settings),
        await clock(pool),
        await reach(settings, load_vault(settings)),
    ]


async def check_stopped(settings: Settings) -> list[Check]:
    """Tell what files and settings say while nothing runs here; only what runs elsewhere is asked."""
    engine = Engine(settings)
    try:
        return [
            await _stopped_database(settings),
            await sandboxes(settings, engine) if settings.engine_key else _stopped_sandboxes(settings),
            *await sandbox_template(settings, engine),
            providers(settings, os.environ),
            public_url(settings),
            await sign_in(settings),
            *certificate(settings),
        ]
    finally:
        await engine.aclose()


async def _stopped_database(settings: Settings) -> Check:
    if settings.database_url is None:
        made = "is stopped" if (settings.data / "postgres").exists() else "is not made yet"
        return warning("database", f"the embedded one in {settings.data / 'postgres'} {made}", UP)
    dsn = settings.database_url.get_secret_value()
    try:
        pool = await open_pool(dsn, patience=SECONDS)
    except DatabaseError as error:
        return failed("database", f"{address(dsn)}: {error}", "Start it, or correct DATABASE_URL.")
    try:
        return await database(settings, pool)
    finally:
        await pool.close()


def _stopped_sandboxes(settings: Settings) -> Check:
    return warning("sandboxes", f"{_service(settings)} is stopped", UP)


async def database(settings: Settings, pool: Pool) -> Check:
    """Ask the database: does it answer, is its schema up to date and closed, is it under our master key."""
    where = address(settings.database_url.get_secret_value()) if settings.database_url else "the embedded one"
    try:
        missing = await pending(pool)
        open_tables = await pool.fetch(
            "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
            " and not relrowsecurity order by relname",
            timeout=SECONDS,
        )
        sealed = None if missing else await pool.fetchval("select master_key_fingerprint from installation")
    except Exception as error:  # noqa: BLE001 -- whatever it is, the database is not to be had
        return failed(
            "database", f"{where} does not answer ({type(error).__name__})", "Is DATABASE_URL right?"
        )
    if missing:
        return failed("database", f"{where} lacks {', '.join(missing)}", "shmastra migrate")
    if open_tables:
        names = ", ".join(row["relname"] for row in open_tables)
        fix = "alter table public.NAME enable row level security, for each of them"
        return warning("database", f"{where}: no row level security on {names}", fix)
    if sealed is not None and not _is_ours(settings, bytes(sealed)):
        fix = "Set SHMASTRA_MASTER_KEY or SHMASTRA_MASTER_KEY_FILE to the key it was written under."
        return failed("database", f"{where} was written under another master key", fix)
    return ok("database", where)


async def sandboxes(settings: Settings, engine: Engine) -> Check:
    """Ask the sandbox service for something small."""
    try:
        await engine.ping()
    except EngineError as error:
        fix = (
            "See DATA/logs/sandboxd.log."
            if settings.local_engine
            else "Are E2B_API_KEY and E2B_API_URL right?"
        )
        return failed("sandboxes", f"{_service(settings)}: {error}", fix)
    return ok("sandboxes", _service(settings))


async def sandbox_template(settings: Settings, engine: Engine) -> list[Check]:
    """Look whether a service elsewhere has the template; of one on this machine the files tell."""
    if settings.local_engine:
        return []
    try:
        there = await engine.has_template()
    except EngineError:
        return []  # which the check of the service tells
    if there:
        return [ok("sandbox_template", settings.template)]
    fix = "Build it there under this name, or set SHMASTRA_TEMPLATE to the one that is there."
    return [failed("sandbox_template", f"{settings.template} is not there", fix)]


def providers(settings: Settings, environ: Mapping[str, str]) -> Check:
    """Name the model providers that have a key, and look whether one of them serves the tiers."""
    try:
        known, tiers = providers_from_env(environ), tiers_from_env(environ)
        read_own_prices(settings.prices)
        demo = "the demo model" if settings.demo_wanted(environ) else "none"
    except BadConfiguration as error:
        return failed("providers", str(error), "Correct the variable and start again.")
    names = [name for name, one in known.items() if one.configured and name not in ("gemini", "demo")]
    if tiers:
        return ok("providers", ", ".join(names))
    text = "Set one of OPENAI_API_KEY, ANTHROPIC_API_KEY, GOOGLE_GENERATIVE_AI_API_KEY and start again."
    if any(name != "composio" for name in names):
        text = "Say which model serves agents: SHMASTRA_MODELS_GENERAL=provider/model."
    return warning("providers", ", ".join([*names, demo]), text)


def public_url(settings: Settings) -> Check:
    """Look at the address that browsers are told; one that can never work was refused with the settings."""
    if not settings.https and urlsplit(settings.public_url).hostname not in LOOPBACK:
        fix = "Put TLS in front and set SHMASTRA_PUBLIC_URL to its https:// address."
        return warning("public_url", f"{settings.public_url} sends sessions unencrypted", fix)
    return ok("public_url", settings.public_url)


def address(dsn: str) -> str:
    """Return a database's address without its password."""
    try:
        parts = urlsplit(dsn)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    who = f"{parts.username}@" if parts.username else ""
    folder = "".join(f"?host={host}" for host in parse_qs(parts.query).get("host", []))
    return f"{parts.scheme}://{who}{parts.hostname or ''}{port}{parts.path}{folder}"


def _service(settings: Settings) -> str:
    return settings.engine_api_url or (
        "sandboxd" if settings.local_engine else f"https://api.{settings.e2b_domain or 'e2b.app'}"
    )


def _is_ours(settings: Settings, fingerprint: bytes) -> bool:
    try:
        return load_vault(settings).fingerprint == fingerprint
    except MasterKeyError:
        return False
