import asyncio

from shmastra_cloud.database import Pool
from shmastra_cloud.provider_list import announce, announced


async def wanted(pool: Pool) -> int:
    found: int = await pool.fetchval("select max(wanted_env_version) from sandboxes")
    return found


async def test_a_changed_list_has_every_sandboxs_env_written_anew_and_an_equal_one_does_not(
    pool: Pool,
) -> None:
    await pool.execute(
        "with made as (insert into users (email, virtual_key, virtual_key_hash)"
        " values ('ann@example.com', '\\x01', '\\x02') returning id)"
        " insert into sandboxes (user_id, mastra_token) select id, '\\x03' from made"
    )
    first = await wanted(pool)
    assert not await announce(pool, "web", [])
    assert await wanted(pool) == first
    assert await announce(pool, "web", ["groq", "acme"])
    assert not await announce(pool, "web", ["acme", "groq"])
    assert (await announced(pool), await wanted(pool)) == (["acme", "groq"], first + 1)
    assert await announce(pool, "web", ["acme"])
    assert (await announced(pool), await wanted(pool)) == (["acme"], first + 2)


async def test_a_gateway_on_its_own_and_a_web_process_do_not_take_each_others_away(pool: Pool) -> None:
    await announce(pool, "gateway", ["groq"])
    assert not await announce(pool, "web", [])
    assert await announced(pool) == ["groq"]
    assert not await announce(pool, "web", ["groq"])
    assert not await announce(pool, "gateway", [])
    assert await announced(pool) == ["groq"]


async def test_processes_that_start_at_the_same_time_change_it_once(pool: Pool) -> None:
    changed = await asyncio.gather(*(announce(pool, "web", ["groq"]) for _ in range(4)))
    assert sorted(changed) == [False, False, False, True]
