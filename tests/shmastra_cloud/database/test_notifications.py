import asyncio

import asyncpg

from shmastra_cloud.database import Notifications, Pool


async def test_a_notification_reaches_its_handler_and_a_broken_connection_is_remade(
    dsn: str, pool: Pool
) -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()
    connections: asyncio.Queue[bool] = asyncio.Queue()
    notifications = Notifications(dsn, {"sandbox": seen.put_nowait}, lambda: connections.put_nowait(True))
    task = asyncio.create_task(notifications.run())
    try:
        async with asyncio.timeout(20):
            await connections.get()
            await pool.execute("select pg_notify('sandbox', 'first')")
            assert await seen.get() == "first"
            assert notifications.connected
            await pool.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where query like '%LISTEN%' and pid <> pg_backend_pid()"
            )
            await connections.get()
            await pool.execute("select pg_notify('sandbox', 'second')")
            assert await seen.get() == "second"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert not notifications.connected


async def test_a_connection_that_was_closed_is_noticed_at_once_and_made_again(dsn: str) -> None:
    connects: list[bool] = []
    notifications = Notifications(dsn, {"user": lambda _payload: None}, lambda: connects.append(True))
    task = asyncio.create_task(notifications.run())
    async with asyncio.timeout(10):
        while not connects:
            await asyncio.sleep(0.01)
        control = await asyncpg.connect(dsn)
        await control.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        while notifications.connected:
            await asyncio.sleep(0)
        while len(connects) < 2:
            await asyncio.sleep(0.01)
        await control.close()
    assert notifications.connected
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
