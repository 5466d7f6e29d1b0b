import asyncio
import json

import pytest
from connectrpc.errors import ConnectError

from sandboxd.envd import watchers
from sandboxd.envd.helper import Helper, socket_pair
from sandboxd.envd.watchers import Watcher


async def test_what_nobody_takes_is_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "MAX_EVENTS", 3)
    ours, theirs = socket_pair()
    helper = Helper(ours)
    starting = asyncio.create_task(Watcher.start(helper, path="/"))
    await asyncio.sleep(0)
    theirs.send(json.dumps({"id": 1, "ok": None}).encode())
    watcher = await starting
    for events in ([1, 2], "rubbish", [3, 4]):
        theirs.send(json.dumps({"id": 1, "events": events}).encode())
    async with asyncio.timeout(5):
        seen = await watcher.next()
        while len(seen) < 4:
            seen += await watcher.next()
        assert seen == [1, 2, 3, 4]
        if watcher._error is None:
            theirs.send(json.dumps({"id": 1, "events": [5, 6, 7]}).encode())
            await watcher.next()
        with pytest.raises(ConnectError, match="watch it anew"):
            await watcher.next()
    helper.close()
    await watcher.aclose()
    theirs.close()
