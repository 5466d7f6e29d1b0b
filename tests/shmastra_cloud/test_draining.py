import asyncio

from shmastra_cloud.draining import Draining


async def test_whoever_waits_is_told_once() -> None:
    draining, told = Draining(), []
    draining.tell(lambda: told.append(draining.begun))
    waiting = asyncio.create_task(draining.wait())
    await asyncio.sleep(0)
    assert not draining.begun
    assert not waiting.done()
    draining.begin()
    draining.begin()
    await asyncio.wait_for(waiting, 1)
    assert told == [True]
