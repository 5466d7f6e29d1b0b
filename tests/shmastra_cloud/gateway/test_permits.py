from typing import Any

from shmastra_cloud.gateway.permits import OpenGate


async def test_an_open_gate_stops_nobody() -> None:
    nothing: Any = None
    permit = await OpenGate().admit(nothing, "openai", "m")
    assert permit.spent(10**9) is None
    assert await permit.settle(nothing) is None
    permit.ended()
