import datetime as dt
import uuid
from decimal import Decimal

import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.database.migrate import MIGRATIONS
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.spending.days import Days, DayUsage, Usage

TODAY = dt.datetime.now(dt.UTC).date()
INSERT = (
    "insert into usage_events (user_id, provider, model, input_tokens, output_tokens, status, duration_ms,"
    " ended, cost_usd, created_at) values ($1, 'openai', $2, 10, 5, $3, 1, 'complete', $4, $5)"
)


async def used(
    pool: Pool, user: uuid.UUID | None, model: str, cost: str | None, *, status: int = 200, ago: int = 0
) -> None:
    at = dt.datetime.now(dt.UTC) - dt.timedelta(days=ago)
    await pool.execute(INSERT, user, model, status, None if cost is None else Decimal(cost), at)


@pytest.fixture
async def ann(pool: Pool, vault: Vault) -> uuid.UUID:
    return await Users(pool, vault).invite("ann@example.com")


async def test_calls_are_counted_by_day_and_model_as_they_are_written(pool: Pool, ann: uuid.UUID) -> None:
    for cost in ("0.5", "0.25", None):
        await used(pool, ann, "gpt-5", cost)
    await used(pool, ann, "gpt-5", "1", ago=1)
    await used(pool, ann, "gpt-5", "4", ago=40)
    await used(pool, ann, "made-up", None, status=404)
    found = await Days(pool).of_user(ann, TODAY - dt.timedelta(days=30))
    assert found == [
        DayUsage(TODAY, "openai", Usage(1, 10, 5, Decimal(0), 0)),
        DayUsage(TODAY, "openai/gpt-5", Usage(3, 30, 15, Decimal("0.75"), 1)),
        DayUsage(TODAY - dt.timedelta(days=1), "openai/gpt-5", Usage(1, 10, 5, Decimal(1), 0)),
    ]


async def test_what_a_removed_user_cost_stays_counted(pool: Pool, vault: Vault, ann: uuid.UUID) -> None:
    bob = await Users(pool, vault).invite("bob@example.com")
    await used(pool, ann, "gpt-5", "4")
    await used(pool, bob, "gpt-5", "2")
    await used(pool, None, "gpt-5", "1")
    await pool.execute("delete from users where id = $1", bob)
    days = Days(pool)
    found = await days.by_user(TODAY)
    assert [(name, usage.cost_usd) for name, usage in found] == [
        ("ann@example.com", Decimal(4)),
        ("removed users", Decimal(3)),
    ]
    assert (await days.of_all(TODAY))[0].usage.cost_usd == 7
    assert await days.of_user(bob, TODAY + dt.timedelta(days=1)) == []


async def test_calls_from_before_the_table_was_there_are_counted_once(pool: Pool, ann: uuid.UUID) -> None:
    await used(pool, ann, "gpt-5", "3")
    sql = (MIGRATIONS / "005_usage_days.sql").read_text()
    await pool.execute(sql)
    await pool.execute("drop trigger usage_events_count on usage_events; drop table usage_days")
    await used(pool, ann, "gpt-5", "2")
    for _ in range(2):
        await pool.execute(sql)
    assert [day.usage.cost_usd for day in await Days(pool).of_user(ann, TODAY)] == [5]


def test_usages_add_up() -> None:
    one = Usage(1, 2, 3, Decimal("0.1"), 0)
    assert one + one == Usage(2, 4, 6, Decimal("0.2"), 0)
    assert one.tokens == 5
