import uuid
from datetime import UTC, datetime, timedelta

from shmastra_cloud.database import Pool
from shmastra_cloud.gateway import OwnedId
from shmastra_cloud.identity import Users
from shmastra_cloud.owned_ids import OwnedIdsInDatabase
from shmastra_cloud.secrets_at_rest import Vault

LATER = datetime.now(UTC) + timedelta(days=1)


async def test_an_id_keeps_its_first_owner_until_it_expires_or_he_is_removed(
    pool: Pool, vault: Vault
) -> None:
    users, kept = Users(pool, vault), OwnedIdsInDatabase(pool)
    ann, bob = await users.invite("ann@example.com"), await users.invite("bob@example.com")
    past = datetime.now(UTC) - timedelta(seconds=1)
    rows = [
        OwnedId("openai", "resp_1", ann, LATER),
        OwnedId("openai", "resp_old", ann, past),
        OwnedId("azure", "resp_1", bob, LATER),
        OwnedId("openai", "resp_2", uuid.uuid4(), LATER),  # removed meanwhile
    ]
    await kept.write(rows)
    await kept.write([*rows, OwnedId("openai", "resp_1", bob, LATER)])
    assert await kept.owner("openai", "resp_1") == ann
    assert await kept.owner("azure", "resp_1") == bob
    for gone in ("resp_old", "resp_2", "resp_3"):
        assert await kept.owner("openai", gone) is None
    assert await pool.fetchval("select count(*) from owned_ids") == 3
    await kept.prune()
    assert await pool.fetchval("select count(*) from owned_ids") == 2
    await users.remove("ann@example.com")
    assert await kept.owner("openai", "resp_1") is None
