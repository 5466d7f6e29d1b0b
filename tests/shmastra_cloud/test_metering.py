import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.gateway import UsageRow
from shmastra_cloud.gateway.prices import MAX_COST
from shmastra_cloud.identity import Users, key_hash
from shmastra_cloud.metering import KeysInDatabase, usage_by, write_usage
from shmastra_cloud.secrets_at_rest import Vault


def row(user: uuid.UUID) -> UsageRow:
    return UsageRow(
        user_id=user,
        provider="openai",
        model="gpt-5-mini",
        purpose="agent",
        input_tokens=10,
        cached_tokens=2,
        reasoning_tokens=1,
        output_tokens=5,
        status=200,
        ttfb_ms=12,
        duration_ms=40,
        ended="complete",
        estimated=False,
        at=datetime.now(UTC),
        id=uuid.uuid4(),
        cache_write_tokens=3,
        cost=Decimal("0.00012345"),
    )


async def test_a_batch_written_twice_counts_once(pool: Pool, vault: Vault) -> None:
    user = await Users(pool, vault).invite("ann@example.com")
    batch = [row(user), row(user), row(uuid.uuid4())]
    await write_usage(pool, batch)
    await write_usage(pool, batch)
    assert await pool.fetchval("select count(*) from usage_events") == 3
    found = {line["user"]: dict(line) for line in await usage_by(pool, "user")}
    assert found["ann@example.com"] == {
        "user": "ann@example.com",
        "requests": 2,
        "input_tokens": 20,
        "output_tokens": 10,
        "cost_usd": 0.0002469,
        "unpriced_requests": 0,
    }
    kept = await pool.fetchrow("select cost_usd, cache_write_tokens from usage_events limit 1")
    assert tuple(kept) == (Decimal("0.00012345"), 3)
    assert [line["model"] for line in await usage_by(pool, "model")] == ["gpt-5-mini"]
    assert len(await usage_by(pool, "day")) == 1
    with pytest.raises(KeyError):
        await usage_by(pool, "moon")


async def test_what_has_no_price_is_counted_apart_and_what_failed_is_not(pool: Pool, vault: Vault) -> None:
    user = await Users(pool, vault).invite("ann@example.com")
    free = row(user)._replace(cost=Decimal(0))
    unpriced = row(user)._replace(cost=None)
    left = unpriced._replace(id=uuid.uuid4(), status=499, ended="client_gone")
    most = row(user)._replace(cost=MAX_COST)
    failed = row(user)._replace(status=429, cost=None)  # written before there were prices
    await write_usage(pool, [free, unpriced, left, most, failed])
    [line] = await usage_by(pool, "user")
    assert (line["requests"], line["cost_usd"], line["unpriced_requests"]) == (5, float(MAX_COST), 2)


async def test_a_row_that_cannot_be_stored_does_not_hold_up_the_others(
    pool: Pool, vault: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    user = await Users(pool, vault).invite("ann@example.com")
    bad = [row(user)._replace(model="a\0b"), row(user)._replace(output_tokens=2**40)]
    bad.append(row(user)._replace(model="\ud800"))
    await write_usage(pool, [row(user), *bad, row(user)])
    assert await pool.fetchval("select count(*) from usage_events") == 2
    assert caplog.text.count("cannot be stored") == 3


async def test_a_key_leads_to_its_owner(pool: Pool, vault: Vault) -> None:
    users = Users(pool, vault)
    user = await users.invite("ann@example.com")
    keys = KeysInDatabase(pool)
    owner = await keys.lookup(key_hash(await users.virtual_key(user)))
    assert owner is not None
    assert owner.user_id == user
    assert await keys.lookup(b"x" * 32) is None
