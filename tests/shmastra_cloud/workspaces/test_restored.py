from uuid import UUID

import asyncpg

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.workspaces import Workspaces, renew_tokens, settle_restored


async def house(pool: Pool, vault: Vault, name: str, status: str, sandbox_id: str | None) -> UUID:
    user_id = await Users(pool, vault).invite(f"{name}@example.com")
    await Workspaces(pool, vault).ensure(user_id)
    await pool.execute(
        "update sandboxes set status = $2, sandbox_id = $3, env_version = 1, lease_owner = 'worker',"
        " lease_until = now() + interval '1 hour', engine_until = now(), attempt = 3, error_message = 'old'"
        " where user_id = $1",
        user_id,
        status,
        sandbox_id,
    )
    return user_id


async def test_what_ran_is_paused_and_what_is_missing_begins_anew(dsn: str, pool: Pool, vault: Vault) -> None:
    rows = {
        "ran": ("ready", "i1", "paused"),
        "healed": ("healing", "i2", "paused"),
        "paused": ("paused", "i3", "paused"),
        "broken": ("broken", "i4", "broken"),
        "made": ("provisioning", "i5", "provisioning"),
        "early": ("provisioning", None, "provisioning"),
        "gone": ("ready", "i6", "provisioning"),
        "hopeless": ("broken", None, "broken"),
    }
    ids = {name: await house(pool, vault, name, *row[:2]) for name, row in rows.items()}
    connection = await asyncpg.connect(dsn)
    assert await settle_restored(connection, ["i1", "i2", "i3", "i4", "i5"]) == 1
    await connection.close()
    store = Workspaces(pool, vault)
    for name, (before, sandbox_id, after) in rows.items():
        found = await store.get(ids[name])
        assert found.status == after, name
        assert found.sandbox_id == (None if name == "gone" else sandbox_id)
        assert found.wanted_env_version != found.env_version
        told = (await store.events(found.id))[0]
        if before != after:
            assert (told["actor"], told["from_status"], told["to_status"]) == ("restore", before, after)
        assert await store.seize(ids[name], "next") is not None  # nobody holds it
    gone = await store.get(ids["gone"])
    assert (gone.attempt, gone.error, gone.stage) == (1, None, "queued")


async def test_what_runs_elsewhere_is_left_as_it_is_but_for_leases(
    dsn: str, pool: Pool, vault: Vault
) -> None:
    user_id = await house(pool, vault, "ann", "ready", "far")
    connection = await asyncpg.connect(dsn)
    assert await settle_restored(connection, None) == 0
    await connection.close()
    found = await Workspaces(pool, vault).get(user_id)
    assert (found.status, found.sandbox_id) == ("ready", "far")
    assert await Workspaces(pool, vault).seize(user_id, "next") is not None


async def test_tokens_are_sealed_anew_under_another_key(dsn: str, pool: Pool, vault: Vault) -> None:
    user_id = await house(pool, vault, "ann", "paused", "i1")
    old = (await Workspaces(pool, vault).get(user_id)).mastra_token
    other = Vault(b"o" * 32)
    connection = await asyncpg.connect(dsn)
    await renew_tokens(connection, other)
    await connection.close()
    found = await Workspaces(pool, other).get(user_id)
    assert found.mastra_token != old
    assert found.traffic_token is None
    assert found.wanted_env_version == 2
