"""Budgets across processes: 64 streams at once, a process that is killed, a database that goes away."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.doubles.llm_provider import REAL_KEY, Endless, Provider
from tests.support.gateways import Process, gateways, wire
from tests.support.serving import Served, served

from shmastra_cloud.budgets import Budgets, Change
from shmastra_cloud.database import Pool
from shmastra_cloud.gateway import ORGANIZATION, UNITS
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault

STREAMS = 64
MODEL = "gpt-4o"  # 10 USD for a million tokens of output: 1000 units each; nothing hidden
UNITS_PER_CHUNK = 2 * 1000
ASK = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": True}
SEEING = httpx.Timeout(30)


@pytest.fixture
def provider() -> Iterator[Served]:
    with served(Endless()) as there:
        yield there


@pytest.fixture
async def ann(pool: Pool, vault: Vault) -> tuple[uuid.UUID, str]:
    users = Users(pool, vault)
    user = await users.invite("ann@example.com")
    return user, await users.virtual_key(user)


def environ(dsn: str, provider: Served) -> dict[str, str]:
    return {"DATABASE_URL": dsn, "OPENAI_API_KEY": REAL_KEY, "OPENAI_BASE_URL": f"{provider.url}/v1"}


async def budget(pool: Pool, who: str = "ann@example.com", **limits: Any) -> dict[str, Any]:
    return await Budgets(pool).change(who, Change(**limits))


async def spend(pool: Pool, user: uuid.UUID, usd: str) -> None:
    """Let a user have spent so much this month and today, as if he had."""
    for owner in (user, ORGANIZATION):
        for period in ("day", "month"):
            await pool.execute(
                "insert into budget_accounts values"
                " ($1, $2, date_trunc($2, now() at time zone 'utc')::date, $3)",
                owner,
                period,
                Decimal(usd),
            )


async def spent(pool: Pool, owner: uuid.UUID) -> int:
    return int(
        UNITS
        * await pool.fetchval(
            "select coalesce(max(spent_usd), 0) from budget_accounts where owner = $1 and period = 'month'",
            owner,
        )
    )


async def held(pool: Pool, owner: uuid.UUID) -> int:
    return int(
        UNITS
        * await pool.fetchval("select coalesce(sum(held_usd), 0) from budget_slices where owner = $1", owner)
    )


async def stream(http: httpx.AsyncClient, process: Process, key: str) -> tuple[int, list[Any]]:
    """Ask for an endless answer, and return what came until it was ended."""
    url = f"{process.url}/api/gateway/openai/v1/chat/completions"
    headers = {"authorization": f"Bearer {key}"}
    async with http.stream("POST", url, json=ASK, headers=headers) as answer:
        if answer.status_code != 200:
            return answer.status_code, [json.loads(await answer.aread())]
        lines = [line async for line in answer.aiter_lines()]
    return 200, [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


def shown(events: list[Any]) -> int:
    return sum("choices" in event for event in events)


async def until(what: Any, seconds: float = 15) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := await what()):
            await asyncio.sleep(0.05)
    return found


async def test_64_streams_on_two_processes_do_not_spend_more_than_is_left(
    dsn: str, pool: Pool, ann: tuple[uuid.UUID, str], provider: Served, tmp_path: Path
) -> None:
    user, key = ann
    await budget(pool, usd_per_month=10)
    await budget(pool, "organization", usd_per_day="9.915")
    await spend(pool, user, "9.90")
    left = 15 * UNITS // 1000
    with gateways(tmp_path, 2, **environ(dsn, provider)) as both:
        async with httpx.AsyncClient(timeout=SEEING, limits=httpx.Limits(max_connections=200)) as http:
            tasks = [asyncio.ensure_future(stream(http, both[number % 2], key)) for number in range(STREAMS)]
            promised = 0
            while not all(task.done() for task in tasks):
                promised = max(promised, await spent(pool, ORGANIZATION) + await held(pool, ORGANIZATION))
                await asyncio.sleep(0.1)
            answers = [task.result() for task in tasks]
            refused = await http.post(
                f"{both[0].url}/api/gateway/openai/v1/chat/completions",
                json={**ASK, "stream": False, "max_tokens": 6900},
                headers={"x-api-key": key},
            )
        for one in both:
            one.stop()
    begun = [events for status, events in answers if status == 200]
    assert {status for status, _ in answers} <= {200, 429}
    assert len(begun) >= STREAMS // 8
    for events in begun:
        assert events[-1]["error"]["code"] == "budget_exceeded"
    rows = await pool.fetch("select ended, estimated, cost_usd, output_tokens from usage_events")
    assert {(row["ended"], row["estimated"]) for row in rows} == {("cut", True)}
    assert len(rows) == len(begun)
    settled = int(UNITS * sum(row["cost_usd"] for row in rows))
    assert left // 2 < settled <= left + len(begun) * UNITS_PER_CHUNK
    assert promised <= 9915 * UNITS // 1000 + len(begun) * UNITS_PER_CHUNK
    assert await spent(pool, user) == 990 * UNITS // 100 + settled == await spent(pool, ORGANIZATION)
    assert await held(pool, user) == await held(pool, ORGANIZATION) == 0
    assert sum(map(shown, begun)) == pytest.approx(sum(row["output_tokens"] for row in rows), rel=0.5)
    assert refused.status_code == 429, refused.text
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    message = refused.json()["error"]["message"]
    assert message.startswith("The organization's budget for this day")
    assert "resets at" in message


async def test_what_a_killed_process_had_reserved_stays_so(
    dsn: str, pool: Pool, ann: tuple[uuid.UUID, str], provider: Served, tmp_path: Path
) -> None:
    user, key = ann
    await budget(pool, usd_per_month="0.006")
    with gateways(tmp_path, 2, **environ(dsn, provider)) as (first, second):
        async with httpx.AsyncClient(timeout=SEEING) as http:
            tasks = [asyncio.ensure_future(_count(http, first, key)) for _ in range(4)]
            await asyncio.sleep(0.7)
            first.kill()
            streamed = sum(await asyncio.gather(*tasks))
            assert streamed > 20
            lost = await held(pool, user)
            assert streamed * 1000 <= await spent(pool, user) + lost <= 6 * UNITS // 1000
            status, _ = await stream(http, second, key)
            assert status in {200, 429}
            second.stop()
        assert await held(pool, user) == lost
        assert await spent(pool, user) + lost <= 6 * UNITS // 1000 + UNITS_PER_CHUNK
        await pool.execute("update budget_slices set expires_at = now() - interval '1 second'")
        shown = (await Budgets(pool).show("ann@example.com"))["budget"]["usd_per_month"]
        assert shown["reserved"] == 0
        assert round(shown["spent"] * UNITS) == await spent(pool, user) + lost


async def _count(http: httpx.AsyncClient, process: Process, key: str) -> int:
    url = f"{process.url}/api/gateway/openai/v1/chat/completions"
    chunks = 0
    try:
        async with http.stream("POST", url, json=ASK, headers={"x-api-key": key}) as answer:
            async for line in answer.aiter_lines():
                chunks += line.startswith("data: {")
    except httpx.HTTPError:
        pass
    return chunks


async def test_a_process_lives_on_its_slice_while_the_database_is_away_and_hears_of_changes(
    dsn: str, pool: Pool, ann: tuple[uuid.UUID, str], provider: Served, tmp_path: Path, vault: Vault
) -> None:
    users = Users(pool, vault)
    free = await users.virtual_key(await users.invite("bob@example.com"))
    user, key = ann
    provider.app = Provider()
    await budget(pool, usd_per_month=1)
    body = {**ASK, "stream": False, "max_tokens": 100}
    with wire(dsn) as way, gateways(tmp_path, 1, away=True, **environ(way.dsn, provider)) as [process]:
        url = f"{process.url}/api/gateway/openai/v1/chat/completions"
        async with httpx.AsyncClient(timeout=SEEING) as http:

            async def ask(who: str, **more: Any) -> httpx.Response:
                return await http.post(url, json={**body, **more}, headers={"x-api-key": who})

            assert (await ask(free)).status_code == 200
            first = await ask(key)
            assert first.status_code == 200
            assert Decimal(first.headers["x-shmastra-budget-remaining-usd"]) < 1
            assert first.headers["x-shmastra-budget-reset"].endswith("-01T00:00:00Z")
            way.cut()
            assert (await ask(key)).status_code == 200
            assert (await ask(free)).status_code == 200
            away = await ask(key, max_tokens=50_000)
            assert (away.status_code, away.json()["error"]["code"]) == (503, "limits_unavailable")
            way.mend()

            async def recovered() -> bool:
                return (await ask(key, max_tokens=50_000)).status_code == 200

            await until(recovered)

            async def written() -> bool:
                return await spent(pool, user) == int(
                    UNITS
                    * await pool.fetchval("select sum(cost_usd) from usage_events where user_id = $1", user)
                )

            await until(written)
            await asyncio.sleep(1.5)  # until it listens again
            before = time.monotonic()
            await budget(pool, usd_per_month=0)

            async def refused() -> bool:
                return (await ask(key)).status_code == 429

            await until(refused)
            assert time.monotonic() - before < 2
            await budget(pool, usd_per_month="none")

            async def allowed() -> bool:
                return (await ask(key, model="no-such-model")).status_code == 200

            await until(allowed)
            await budget(pool, usd_per_day=1)

            async def unpriced() -> bool:
                return (await ask(key, model="no-such-model")).status_code == 403

            await until(unpriced)
