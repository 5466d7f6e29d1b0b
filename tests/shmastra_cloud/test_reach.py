import json
import time

import httpx
import pytest
from fastapi import FastAPI

from shmastra_cloud import reach
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings

OURS, ANOTHER = Vault(b"k" * 32), Vault(b"x" * 32)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setenv("SHMASTRA_TRUSTED_PROXIES", "10.0.0.0/8")
    made = FastAPI()
    made.include_router(reach.router)
    made.state.reach = reach.ReachParts(load_settings(), OURS)
    return made


def asking(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=("10.0.0.9", 4711))
    return httpx.AsyncClient(base_url="http://a", transport=transport)


async def test_it_tells_how_a_question_of_our_own_arrived(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "REST_SECONDS", 0)
    async with asking(app) as http:
        headers = {reach.HEADER: reach.question(OURS), "x-forwarded-for": "1.2.3.4"}
        answer = await http.get(reach.PATH, headers=headers)
    assert answer.status_code == 200
    first, second, rest = answer.text.split("\n\n")
    told = json.loads(first.partition("data: ")[2])
    wanted = {"peer": "10.0.0.9", "client": "1.2.3.4", "scheme": "http", "host": "a"}
    wanted |= {"believed": True, "forwarded": True}
    assert told == wanted
    assert (second, rest) == ("event: end\ndata: {}", "")


async def test_nobody_else_is_told(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking(app) as http:

        async def told(asked: str) -> int:
            return (await http.get(reach.PATH, headers={reach.HEADER: asked})).status_code

        old = reach.question(OURS)
        for asked in ("", "nonsense", "bm9uc2Vuc2U=", reach.question(ANOTHER)):
            assert await told(asked) == 404
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + reach.GOOD_SECONDS + 1)
        assert await told(old) == 404
