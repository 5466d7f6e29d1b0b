import asyncpg
import pytest

from shmastra_cloud.database import Pool, UnsuitableDatabase, check_master_key, under_present_key
from shmastra_cloud.secrets_at_rest import MasterKeyError, Vault

A, B = Vault(b"a" * 32), Vault(b"b" * 32)


async def test_another_master_key_is_refused(pool: Pool) -> None:
    await check_master_key(pool, A)
    await check_master_key(pool, A)
    with pytest.raises(UnsuitableDatabase, match="another master key"):
        await check_master_key(pool, B)


async def test_the_database_says_which_of_several_keys_seals(pool: Pool) -> None:
    await check_master_key(pool, A)
    both = Vault(b"b" * 32, b"a" * 32)
    await check_master_key(pool, both)
    assert both.fingerprint == A.fingerprint


async def test_a_retired_key_and_one_of_two_that_are_needed_are_told(pool: Pool) -> None:
    await check_master_key(pool, A)
    await pool.execute(
        "update installation set retiring_key_fingerprint = $1, master_key_fingerprint = $2",
        A.fingerprint,
        B.fingerprint,
    )
    with pytest.raises(UnsuitableDatabase, match="Give both keys"):
        await check_master_key(pool, B)
    with pytest.raises(UnsuitableDatabase, match="another master key"):
        await check_master_key(pool, A)
    await check_master_key(pool, Vault(b"a" * 32, b"b" * 32))
    await pool.execute("update installation set retiring_key_fingerprint = null")
    await pool.execute("insert into retired_master_keys (fingerprint) values ($1)", A.fingerprint)
    with pytest.raises(UnsuitableDatabase, match=r"was replaced at 20\d\d-"):
        await check_master_key(pool, A)


async def test_what_is_refused_under_a_former_key_is_done_under_the_present_one(pool: Pool) -> None:
    await pool.execute("insert into installation (master_key_fingerprint) values ($1)", B.fingerprint)
    vault = Vault(b"a" * 32, b"b" * 32)

    async def write(inside: Pool) -> str:
        return await inside.execute(
            "insert into users (email, virtual_key, virtual_key_hash) values ('a@x', $1, 'h')",
            vault.seal("k", "users.virtual_key"),
        )

    assert await under_present_key(pool, vault, write) == "INSERT 0 1"
    assert vault.fingerprint == B.fingerprint
    with pytest.raises(asyncpg.UniqueViolationError):
        await under_present_key(pool, vault, write)
    vault = Vault(b"a" * 32)
    with pytest.raises(MasterKeyError, match="is not at hand"):
        await under_present_key(pool, vault, write)
