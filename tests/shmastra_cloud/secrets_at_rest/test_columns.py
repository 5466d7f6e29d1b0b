"""No column holds ciphertexts that a rotation would not know of."""

import asyncpg
import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.secrets_at_rest import SEALED, Vault

# Bytes that are no ciphertexts: hashes of tokens and keys, and of files.
NOT_SEALED = {
    "users.virtual_key_hash",
    "login_links.token_hash",
    "sessions.token_hash",
    "installation.master_key_fingerprint",
    "installation.retiring_key_fingerprint",
    "retired_master_keys.fingerprint",
    "schema_migrations.sha256",
    "workos_used.name",
    "workos_codes.attempt",
    "workos_codes.email",
    "workos_codes.address",
    "oidc_spent.hash",
    "api_tokens.token_hash",
    "device_logins.device_hash",
    "device_logins.code_hash",
}
BYTES = """
  select c.table_name || '.' || c.column_name as name from information_schema.columns c
  join pg_class t on t.oid = format('public.%I', c.table_name)::regclass and t.relkind in ('r', 'p')
  where c.table_schema = 'public' and c.data_type = 'bytea'"""


async def test_every_column_of_bytes_is_sealed_and_known_or_holds_no_secret(pool: Pool) -> None:
    there = {row["name"] for row in await pool.fetch(BYTES)}
    known = {column.purpose for column in SEALED}
    assert known <= there
    assert there - known == NOT_SEALED, "add it to SEALED, or say that it is none"


async def test_each_sealed_column_is_guarded_by_its_trigger_and_no_other_is(pool: Pool) -> None:
    rows = await pool.fetch(
        "select tgrelid::regclass::text as place, tgargs from pg_trigger"
        " where tgfoid = 'public.check_sealed'::regproc and tgenabled = 'O'"
    )
    guarded = {f"{row['place']}.{name.decode()}" for row in rows for name in row["tgargs"].split(b"\0")[:-1]}
    assert guarded == {column.purpose for column in SEALED}


async def test_each_sealed_table_has_the_key_that_a_rotation_goes_by(pool: Pool) -> None:
    for column in SEALED:
        keys = await pool.fetchval(
            "select array_agg(a.attname::text) from pg_index i join pg_attribute a"
            " on a.attrelid = i.indrelid and a.attnum = any(i.indkey)"
            " where i.indisprimary and i.indrelid = $1::text::regclass",
            column.table,
        )
        assert keys == [column.key]


def test_a_column_that_is_not_named_cannot_be_sealed(vault: Vault) -> None:
    with pytest.raises(ValueError, match=r"users\.secret is not in SEALED"):
        vault.seal("x", "users.secret")


async def test_what_another_key_sealed_is_refused_by_the_database(pool: Pool, vault: Vault) -> None:
    other = Vault(b"o" * 32)
    await pool.execute("insert into installation (master_key_fingerprint) values ($1)", vault.fingerprint)
    make = "insert into users (email, virtual_key, virtual_key_hash) values ($1, $2, $3)"
    await pool.execute(make, "a@x", vault.seal("k", "users.virtual_key"), b"a")
    with pytest.raises(asyncpg.PostgresError, match="not sealed under the present master key") as caught:
        await pool.execute(make, "b@x", other.seal("k", "users.virtual_key"), b"b")
    assert caught.value.sqlstate == "SHK01"
    with pytest.raises(asyncpg.PostgresError, match=r"users\.virtual_key"):
        await pool.execute("update users set virtual_key = $1", other.seal("k", "users.virtual_key"))
    await pool.execute("update users set virtual_key = virtual_key, role = 'admin'")
