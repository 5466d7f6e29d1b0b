import hmac
from typing import Any

import pytest
from tests.shmastra_cloud.asking import ask
from tests.shmastra_cloud.telemetry.rows import row

from shmastra_cloud.telemetry.counts import Counts
from shmastra_cloud.telemetry.exposition import State
from shmastra_cloud.telemetry.metrics import Metrics

TOKEN = "a-token-of-ours"


@pytest.fixture
def metrics() -> Metrics:
    counts = Counts()
    counts.record(row())

    async def state() -> State:
        return State(database=True)

    return Metrics(TOKEN, counts, state)


@pytest.mark.parametrize(
    "header", [None, "", TOKEN, "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer tök"]
)
async def test_without_the_token_nothing_is_told(metrics: Metrics, header: str | None) -> None:
    answer = await ask(metrics, "/metrics", **({} if header is None else {"authorization": header}))
    assert (answer.status, answer.json()["code"]) == (401, "wrong_token")
    assert TOKEN.encode() not in answer.body


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_with_it_everything_is(metrics: Metrics, scheme: str) -> None:
    answer = await ask(metrics, "/metrics", authorization=f"{scheme} {TOKEN}")
    assert answer.status == 200
    assert answer.headers[b"content-type"].startswith(b"text/plain; version=0.0.4")
    assert b"shmastra_gateway_calls_total{" in answer.body
    assert b"shmastra_database_up 1.0" in answer.body


async def test_tokens_are_compared_in_constant_time(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[Any] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert (await ask(metrics, "/metrics", authorization=f"Bearer {TOKEN}")).status == 401
    assert compared == [(TOKEN.encode(), TOKEN.encode())]
