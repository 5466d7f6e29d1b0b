"""A database as Supabase makes one: its roles, their default grants, and an owner who is no superuser.

After supabase/postgres, migrations/db/init-scripts: the roles `anon`, `authenticated`, `service_role`,
`authenticator` and (there called `postgres`) the owner, and the default privileges in schema `public`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

OWNER = "supabase_postgres"
API_ROLES = ("anon", "authenticated")
ROLES = f"""
  do $$ begin
    if not exists (select from pg_roles where rolname = 'anon') then
      create role anon nologin noinherit;
    end if;
    if not exists (select from pg_roles where rolname = 'authenticated') then
      create role authenticated nologin noinherit;
    end if;
    if not exists (select from pg_roles where rolname = 'service_role') then
      create role service_role nologin noinherit bypassrls;
    end if;
    if not exists (select from pg_roles where rolname = 'authenticator') then
      create role authenticator login noinherit;
      grant anon, authenticated, service_role to authenticator;
    end if;
    if not exists (select from pg_roles where rolname = '{OWNER}') then
      create role {OWNER} login createdb createrole replication bypassrls;
      grant anon, authenticated, service_role to {OWNER};
    end if;
  end $$;"""
ALL = f"{OWNER}, anon, authenticated, service_role"
GRANTS = f"""
  grant usage on schema public to {ALL};
  alter default privileges in schema public grant all on tables to {ALL};
  alter default privileges in schema public grant all on functions to {ALL};
  alter default privileges in schema public grant all on sequences to {ALL};"""
FOR_OWNER = GRANTS.replace("default privileges in", f"default privileges for role {OWNER} in")


async def make(postgres: str, name: str) -> tuple[str, str]:
    """Make the database; returns its address for its owner and for a superuser."""
    control = await asyncpg.connect(postgres)
    await control.execute(ROLES)
    await control.execute(f"create database {name} owner {OWNER}")
    await control.close()
    above = postgres.replace("/postgres?", f"/{name}?")
    control = await asyncpg.connect(above)
    await control.execute(GRANTS + FOR_OWNER)
    await control.close()
    return above.replace("//postgres@", f"//{OWNER}@"), above


async def drop(postgres: str, name: str) -> None:
    """Drop the database; the roles stay, since they are the cluster's."""
    control = await asyncpg.connect(postgres)
    await control.execute(f"drop database {name} with (force)")
    await control.close()


@contextmanager
def supabase(postgres: str) -> Iterator[tuple[str, str]]:
    """Give a new database's address for its owner and for a superuser."""
    name = f"s{secrets.token_hex(6)}"
    addresses = asyncio.run(make(postgres, name))
    try:
        yield addresses
    finally:
        asyncio.run(drop(postgres, name))
