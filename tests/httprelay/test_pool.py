import asyncio

import pytest
from tests.httprelay.support import raw_upstream

from httprelay import ConnectFailed, Pool, Stopping, Target, TooManyConnections

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(ANSWER)


async def once(pool: Pool, target: Target) -> bool:
    connection, reused = await pool.acquire(target, 5)
    connection.begin(is_head=False)
    connection.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    await connection.read_head(5)
    await connection.read(5)
    pool.give_back(target, connection, reusable=True)
    return reused


async def test_a_finished_connection_is_used_again() -> None:
    async with raw_upstream(answer_all) as port:
        pool, target = Pool(), Target("127.0.0.1", port)
        assert [await once(pool, target), await once(pool, target)] == [False, True]
        await pool.aclose()


async def test_an_idle_connection_expires() -> None:
    async with raw_upstream(answer_all) as port:
        pool, target = Pool(idle_seconds=-1), Target("127.0.0.1", port)
        assert [await once(pool, target), await once(pool, target)] == [False, False]
        await pool.aclose()


async def test_connections_are_bounded() -> None:
    async with raw_upstream(answer_all) as port:
        pool, target = Pool(limit=1), Target("127.0.0.1", port)
        connection, _ = await pool.acquire(target, 5)
        with pytest.raises(TooManyConnections):
            await pool.acquire(target, 5)
        assert pool.counts() == {"in_use": 1, "idle": 0}
        connection.begin(is_head=False)
        pool.give_back(target, connection, reusable=False)
        assert not await once(pool, target)
        assert pool.counts() == {"in_use": 0, "idle": 1}
        await pool.aclose()


async def test_idle_connections_are_bounded_and_the_oldest_goes_first() -> None:
    async with raw_upstream(answer_all) as port:
        pool, target = Pool(keep=2), Target("127.0.0.1", port)
        held = [(await pool.acquire(target, 5))[0] for _ in range(3)]
        for connection in held:
            connection.begin(is_head=False)
            connection.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            await connection.read_head(5)
            pool.give_back(target, connection, reusable=True)
        again = [(await pool.acquire(target, 5))[0] for _ in range(3)]
        assert again[:2] == [held[2], held[1]]
        assert again[2] not in held
        await pool.aclose()


async def test_one_targets_bound_is_not_anothers() -> None:
    async with raw_upstream(answer_all) as one, raw_upstream(answer_all) as other:
        pool = Pool(limit=1)
        await pool.acquire(Target("127.0.0.1", one), 5)
        assert not await once(pool, Target("127.0.0.1", other))
        await pool.aclose()


async def test_a_target_that_is_not_used_any_more_is_forgotten() -> None:
    async with raw_upstream(answer_all) as port:
        pool = Pool(idle_seconds=-1)
        assert not await once(pool, Target("127.0.0.1", port))
        pool._next_expiry = 0.0
        assert pool.take(Target("127.0.0.1", 1)) is None
        assert pool._places == {}
        await pool.aclose()


async def test_no_listener_is_an_error_that_frees_its_place() -> None:
    pool = Pool(limit=1)
    for _ in range(2):
        with pytest.raises(ConnectFailed, match="nowhere"):
            await pool.acquire(Target(unix_socket="/tmp/nowhere.sock"), 5)


async def begin_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun")
    await reader.read()


async def test_what_runs_is_cut_and_nothing_else_begins() -> None:
    async with raw_upstream(begin_only) as slow, raw_upstream(answer_all) as quick:
        pool, target, other = Pool(), Target("127.0.0.1", slow), Target("127.0.0.1", quick)
        assert not await once(pool, other)
        connection, _ = await pool.acquire(target, 5)
        connection.begin(is_head=False)
        connection.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await connection.read_head(5)
        assert await connection.read(5) == b"begun"
        reading = asyncio.create_task(connection.read(5))
        await asyncio.sleep(0)
        pool.cut()
        with pytest.raises(Stopping):
            await reading
        pool.give_back(target, connection, reusable=True)
        for one in (target, other):
            with pytest.raises(Stopping):
                await pool.acquire(one, 5)
        assert pool.counts()["in_use"] == 0
        await pool.aclose()
