import os
from typing import Any

from shmastra_cloud.admin import AtSocket, InProcess
from shmastra_cloud.audit import Actor


async def test_each_door_says_who_asks() -> None:
    seen: list[Actor] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["state"]["actor"])

    async def nothing(*_: Any) -> Any:
        return {}

    await AtSocket(app)({"type": "http", "state": {"peer_uid": 65534}}, nothing, nothing)
    await InProcess(app)({"type": "http"}, nothing, nothing)
    assert [(one.kind, one.id, one.origin) for one in seen] == [
        ("os", "65534", "socket"),
        ("os", str(os.getuid()), "command line"),
    ]
