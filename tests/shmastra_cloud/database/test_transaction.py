import pytest

from shmastra_cloud.database import Pool, transaction


async def test_a_transaction_is_given_as_a_pool_and_begins_further_ones_inside(pool: Pool) -> None:
    await pool.execute("create table things (n int)")
    async with transaction(pool) as one:
        await one.execute("insert into things values (1)")
        async with one.acquire() as connection, connection.transaction():
            await connection.execute("insert into things values (2)")
        assert await one.fetchval("select count(*) from things") == 2
        assert await pool.fetchval("select count(*) from things") == 0
    assert await pool.fetchval("select count(*) from things") == 2

    async def failing() -> None:
        async with transaction(pool) as one:
            await one.execute("delete from things")
            raise LookupError

    with pytest.raises(LookupError):
        await failing()
    assert await pool.fetchval("select count(*) from things") == 2
