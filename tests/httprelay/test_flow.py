import asyncio
from typing import Any, cast

from httprelay.flow import Flow


async def test_all_who_send_wait_until_the_client_takes_more_and_no_longer() -> None:
    flow = Flow(cast("Any", None))
    await asyncio.wait_for(flow.drain(), 1)
    for _ in range(2):
        flow.pause_writing()
        assert flow.write_paused
        waiting = [asyncio.ensure_future(flow.drain()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [True, False, False]
        flow.resume_writing()
        await asyncio.wait_for(asyncio.gather(*waiting[1:]), 1)
        assert not flow.write_paused
