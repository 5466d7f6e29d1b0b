import asyncio
from functools import partial
from typing import Any

from tests.httprelay.support import exchange, serving

from httprelay import Sink, sink_of
from httprelay.cycle import Cycle

ASK = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Plain(Sink):
    async def send(self, message: Any) -> None:
        """Take nothing."""


async def test_a_sink_is_found_by_its_own_send_only() -> None:
    sink = Plain()

    async def wrapped(message: Any) -> None:
        await sink.send(message)

    assert sink_of(sink.send) is sink
    for other in (wrapped, partial(sink.send), asyncio.Event().wait):
        assert sink_of(other) is None  # type: ignore[arg-type]  # whatever an application passes


async def test_a_servers_send_is_a_sinks_and_takes_pieces_without_a_task() -> None:
    async def answer(_scope: Any, _receive: Any, send: Any) -> None:
        sink = sink_of(send)
        assert isinstance(sink, Cycle)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        done = asyncio.get_running_loop().create_future()

        def later() -> None:
            done.set_result([sink.offer(b"a"), sink.offer(b"bc")])

        asyncio.get_running_loop().call_soon(later)
        assert await done == [True, True]
        await sink.ready()
        await send({"type": "http.response.body", "body": b"d"})

    async with serving(answer) as port:
        said = await exchange(port, ASK)
    assert said.endswith(b"\r\n\r\n1\r\na\r\n2\r\nbc\r\n1\r\nd\r\n0\r\n\r\n")
