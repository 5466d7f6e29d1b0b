import asyncio

import asyncpg
import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Sessions, UnknownUser, Users, key_hash, renew_keys
from shmastra_cloud.secrets_at_rest import Vault


async def test_an_invitation_is_idempotent_and_never_demotes(pool: Pool, vault: Vault) -> None:
    users = Users(pool, vault)
    first = await users.invite("Ann@Example.com ", admin=True)
    assert await users.invite("ann@example.com") == first
    [row] = await users.all()
    assert (row["email"], row["role"]) == ("ann@example.com", "admin")


async def test_a_key_is_found_by_its_hash_until_rotated_or_disabled(pool: Pool, vault: Vault) -> None:
    users = Users(pool, vault)
    user = await users.invite("ann@example.com")
    old = await users.virtual_key(user)
    assert await users.owner_of_key(key_hash(old)) == user
    await users.rotate_key("ann@example.com")
    assert await users.owner_of_key(key_hash(old)) is None
    new = await users.virtual_key(user)
    assert await users.owner_of_key(key_hash(new)) == user
    await users.set_disabled("ann@example.com", disabled=True)
    assert await users.owner_of_key(key_hash(new)) is None
    await users.set_disabled("ann@example.com", disabled=False)
    assert await users.owner_of_key(key_hash(new)) == user


async def test_everybody_gets_another_key_under_another_master_key(
    dsn: str, pool: Pool, vault: Vault
) -> None:
    users, other = Users(pool, vault), Vault(b"o" * 32)
    ids = [await users.invite(f"{name}@example.com") for name in "ab"]
    before = [await users.virtual_key(user_id) for user_id in ids]
    connection = await asyncpg.connect(dsn)
    assert await renew_keys(connection, other) == 2
    await connection.close()
    for user_id, old in zip(ids, before, strict=True):
        new = await Users(pool, other).virtual_key(user_id)
        assert new != old
        assert await users.owner_of_key(key_hash(new)) == user_id
        assert await users.owner_of_key(key_hash(old)) is None


async def test_the_key_stands_nowhere_in_the_clear(pool: Pool, vault: Vault) -> None:
    users = Users(pool, vault)
    key = await users.virtual_key(await users.invite("ann@example.com"))
    row = await pool.fetchrow("select users::text as all_of_it from users")
    assert row is not None
    assert key not in row["all_of_it"]
    assert key.encode().hex() not in row["all_of_it"]


async def test_an_unknown_email_is_said_so(pool: Pool, vault: Vault) -> None:
    with pytest.raises(UnknownUser, match="nobody@example.com"):
        await Users(pool, vault).rotate_key("nobody@example.com")


async def test_there_is_always_an_admin(pool: Pool, vault: Vault) -> None:
    users = Users(pool, vault)
    admins = [await users.invite(f"{name}@example.com", admin=True) for name in "abc"]
    await users.set_disabled("c@example.com", disabled=True)
    done = await asyncio.gather(
        *(users.set_role(one, "member") for one in admins[:2]), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in done) == ["LastAdmin", "str"]
    assert await users.set_role(admins[2], "member") == "admin"  # who is shut out is none that counts
    assert await users.set_role(admins[2], "admin") == "member"


async def test_signing_a_user_out_ends_his_sessions(pool: Pool, vault: Vault) -> None:
    users, sessions = Users(pool, vault), Sessions(pool)
    ann = await users.invite("ann@example.com")
    for _ in range(2):
        await sessions.start(ann)
    assert (await users.sign_out(ann), await users.sign_out(ann)) == (2, 0)
