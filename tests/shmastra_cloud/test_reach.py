import json
import time

import pytest
from fastapi import FastAPI
from tests.shmastra_cloud.asking import ask

from shmastra_cloud import reach
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings

OURS, ANOTHER = Vault(b"k" * 32), Vault(b"x" * 32)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setenv("SHMASTRA_TRUSTED_PROXIES", "unix")
    made = FastAPI()
    made.include_router(reach.router)
    made.state.reach = reach.ReachParts(load_settings(), OURS)
    return made


async def test_it_tells_how_a_question_of_our_own_arrived(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "REST_SECONDS", 0)
    answer = await ask(
        app, reach.PATH, x_shmastra_reach=reach.question(OURS), host="a", x_forwarded_for="1.2.3.4"
    )
    assert answer.status == 200
    first, second, rest = answer.body.decode().split("\n\n")
    told = json.loads(first.partition("data: ")[2])
    wanted = {"peer": "unix", "client": "1.2.3.4", "scheme": "http", "host": "a", "forwarded": True}
    assert told == wanted
    assert (second, rest) == ("event: end\ndata: {}", "")


async def test_nobody_else_is_told(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    old = reach.question(OURS)
    for asked in ("", "nonsense", "bm9uc2Vuc2U=", reach.question(ANOTHER)):
        assert (await ask(app, reach.PATH, x_shmastra_reach=asked)).status == 404
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + reach.GOOD_SECONDS + 1)
    assert (await ask(app, reach.PATH, x_shmastra_reach=old)).status == 404
