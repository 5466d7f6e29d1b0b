import pytest

from shmastra_cloud.database import DatabaseAway, Pool, UnsuitableDatabase, check_master_key, open_pool
from shmastra_cloud.secrets_at_rest import Vault


async def test_a_database_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(DatabaseAway) as caught:
        await open_pool("postgresql://u:hunter2@127.0.0.1:1/postgres", patience=0.1)
    assert "DATABASE_URL" in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_another_master_key_is_refused(pool: Pool) -> None:
    await check_master_key(pool, Vault(b"a" * 32))
    await check_master_key(pool, Vault(b"a" * 32))
    with pytest.raises(UnsuitableDatabase, match="another master key"):
        await check_master_key(pool, Vault(b"b" * 32))
