"""Budgets in Postgres: leases, settling with usage rows in one transaction, and their double."""

from __future__ import annotations

import asyncio
import random
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from tests.doubles.limit_store import Books, Store

from shmastra_cloud.database import Pool
from shmastra_cloud.gateway import EVERYONE, NO_LIMIT, ORGANIZATION, UNITS, Limits, UsageRow, usd
from shmastra_cloud.identity import Users
from shmastra_cloud.leases import LeasesInDatabase
from shmastra_cloud.metering import write_usage
from shmastra_cloud.secrets_at_rest import Vault

DAY = date(2026, 11, 26)


def row(user: uuid.UUID, cost: int, *leases: uuid.UUID, day: date = DAY) -> UsageRow:
    some: Any = (user, "openai", "m", "agent", 1, 0, 0, 1, 200, 1, 1, "complete", False)
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return UsageRow(*some, at, uuid.uuid4(), cost=usd(cost), leases=leases)


async def limit(pool: Pool, owner: uuid.UUID, **values: Any) -> None:
    names = ", ".join(values)
    places = ", ".join(f"${number}" for number in range(3, 3 + len(values)))
    user = None if owner in {ORGANIZATION, EVERYONE} else owner
    await pool.execute("delete from budget_limits where owner = $1", owner)
    await pool.execute(
        f"insert into budget_limits (owner, user_id, {names}) values ($1, $2, {places})",
        owner,
        user,
        *values.values(),
    )


async def held(pool: Pool) -> int:
    return int(await pool.fetchval("select coalesce(sum(held_usd), 0) from budget_slices") * UNITS)


async def test_a_lease_takes_what_is_needed_or_a_share_and_never_more_than_is_left(
    pool: Pool, vault: Vault
) -> None:
    ann = await Users(pool, vault).invite("ann@example.com")
    await limit(pool, ann, usd_per_month=Decimal(10), usd_per_day=Decimal(8))
    store, other = LeasesInDatabase(pool), LeasesInDatabase(pool)
    mine, its = uuid.uuid4(), uuid.uuid4()
    first = await store.lease(mine, ann, DAY, 1000, 1000)
    assert (first.granted, first.there) == (UNITS * 8 // 100, False)
    assert first.standing.day is not None
    assert first.standing.day.room == 8 * UNITS - first.granted
    assert (await other.lease(its, ann, DAY, 7 * UNITS, 7 * UNITS)).granted == 7 * UNITS
    refused = await store.lease(mine, ann, DAY, 2 * UNITS, 2 * UNITS)
    assert (refused.granted, refused.there, refused.standing.others) == (0, True, 7 * UNITS)
    partly = await store.lease(mine, ann, DAY, 2 * UNITS, 1)
    assert partly.granted == 8 * UNITS - 7 * UNITS - first.granted
    assert (await store.lease(uuid.uuid4(), ann, DAY, 1, 1)).there is False
    assert await held(pool) == 8 * UNITS
    assert (await store.lease(uuid.uuid4(), ann, DAY + timedelta(1), 3 * UNITS, 1)).granted == 2 * UNITS
    assert (await store.lease(uuid.uuid4(), ann, date(2026, 12, 1), 3 * UNITS, 1)).granted == 3 * UNITS


async def test_what_is_written_is_spent_and_no_longer_held_in_one_step_and_once(
    pool: Pool, vault: Vault
) -> None:
    ann = await Users(pool, vault).invite("ann@example.com")
    for owner in (ann, ORGANIZATION):
        await limit(pool, owner, usd_per_month=Decimal(1))
    store, mine, its = LeasesInDatabase(pool), uuid.uuid4(), uuid.uuid4()
    await store.lease(mine, ann, DAY, 1000, 1000)
    await store.lease(its, ORGANIZATION, DAY, 1000, 1000)
    before = await held(pool)
    rows = [row(ann, 300, mine, its), row(ann, 200, mine, its), row(uuid.uuid4(), 7)]
    await write_usage(pool, rows)
    await write_usage(pool, rows)
    assert before - await held(pool) == 2 * 500
    spent = dict(
        await pool.fetch(  # type: ignore[arg-type]
            "select owner, (spent_usd * 100000000)::bigint from budget_accounts where period = 'month'"
        )
    )
    assert (spent[ann], spent[ORGANIZATION]) == (500, 507)
    assert await pool.fetchval("select sum(cost_usd) * 100000000 from usage_events") == 507
    beyond = row(ann, UNITS, mine)
    await write_usage(pool, [beyond])
    assert await pool.fetchval("select held_usd from budget_slices where id = $1", mine) == 0


async def test_a_slice_is_given_back_only_by_its_process(pool: Pool, vault: Vault) -> None:
    ann = await Users(pool, vault).invite("ann@example.com")
    await limit(pool, ann, usd_per_month=Decimal(1))
    store, mine = LeasesInDatabase(pool), uuid.uuid4()
    granted = (await store.lease(mine, ann, DAY, 1000, 1000)).granted
    await store.give_back({mine: granted - 400})
    assert await held(pool) == 400
    await pool.execute("update budget_slices set expires_at = now() - interval '1 day'")
    gone = await LeasesInDatabase(pool).lease(uuid.uuid4(), ann, DAY, UNITS, UNITS)
    assert (gone.granted, gone.standing.others) == (0, 0)
    assert await store.keep() == {mine}
    assert await pool.fetchval("select expires_at > now() from budget_slices")
    await store.close([mine])
    assert await held(pool) == 0


async def test_many_processes_at_once_lease_no_more_than_there_is(pool: Pool, vault: Vault) -> None:
    ann = await Users(pool, vault).invite("ann@example.com")
    await limit(pool, ann, usd_per_day=Decimal("0.5"), usd_per_month=Decimal("0.4"))
    stores = [LeasesInDatabase(pool) for _ in range(8)]
    slices = [uuid.uuid4() for _ in stores]

    async def work(number: int) -> int:
        granted = 0
        for _ in range(12):
            got = (await stores[number].lease(slices[number], ann, DAY, UNITS // 100, 1)).granted
            granted += got
            await write_usage(pool, [row(ann, got // 2, slices[number])])
        return granted

    granted = await asyncio.gather(*(work(number) for number in range(8)))
    spent = await pool.fetchval(
        "select spent_usd * 100000000 from budget_accounts where owner = $1 and period = 'month'", ann
    )
    assert sum(granted) == spent + await held(pool) == 4 * UNITS // 10


async def test_the_double_and_postgres_give_the_same(pool: Pool, vault: Vault) -> None:
    ann = await Users(pool, vault).invite("ann@example.com")
    chance = random.Random(7)
    books = Books()
    there = [LeasesInDatabase(pool) for _ in range(2)]
    double = [Store(books) for _ in range(2)]
    mine = [uuid.uuid4() for _ in range(2)]
    for _ in range(60):
        if chance.random() < 0.2:
            values = {
                name: chance.choice([None, NO_LIMIT, chance.randint(0, 10**9)])
                for name in ("usd_per_day", "usd_per_month")
            }
            who = chance.choice([ann, EVERYONE])
            books.limits[who] = Limits(**values)
            await limit(pool, who, **{name: _usd(one) for name, one in values.items()})
        which = chance.randint(0, 1)
        need = chance.randint(1, 2 * 10**8)
        least = chance.choice([1, need])
        got = await there[which].lease(mine[which], ann, DAY, need, least)
        assert got == await double[which].lease(mine[which], ann, DAY, need, least)
        if chance.random() < 0.5:
            used = row(ann, chance.randint(0, need), mine[which])
            await write_usage(pool, [used])
            books.write([used])
    assert dict(await there[0].limits()) == books.limits


def _usd(amount: int | None) -> Decimal | None:
    return amount if amount is None else Decimal(-1) if amount == NO_LIMIT else usd(amount)


async def test_a_minute_is_shared_and_what_is_owed_counts(pool: Pool, vault: Vault) -> None:
    ann = await Users(pool, vault).invite("ann@example.com")
    await limit(pool, ann, requests_per_minute=64, tokens_per_minute=1000)
    one, other = LeasesInDatabase(pool), LeasesInDatabase(pool)
    while datetime.now(UTC).second > 55:
        await asyncio.sleep(0.2)
    got = [await one.rate(ann, "requests", 1, 0), await other.rate(ann, "requests", 1, 0)]
    assert [lease.granted for lease in got] == [4, 4]
    assert all(lease.most == 64 and 0 < lease.seconds <= 60 for lease in got)
    taken = 8
    while granted := (await one.rate(ann, "requests", 1, 0)).granted:
        taken += granted
    assert taken == 64
    assert (await one.rate(ann, "tokens", 900, 200)).granted == 0
    assert (await one.rate(ann, "tokens", 800, 0)).granted == 800
    await pool.execute("update rate_windows set minute = minute - interval '1 minute'")
    assert (await other.rate(ann, "requests", 1, 0)).granted == 4


async def test_streams_are_shared_and_those_of_a_dead_process_count_no_more(pool: Pool, vault: Vault) -> None:
    ann = await Users(pool, vault).invite("ann@example.com")
    await limit(pool, ann, streams=5)
    one, other = LeasesInDatabase(pool), LeasesInDatabase(pool)
    assert (await one.streams(ann, 3)).granted == 3
    assert (await other.streams(ann, 3)).granted == 2
    assert (await one.streams(ann, 1)).granted == 1
    assert (await other.streams(ann, 9)) == (4, 5)
    await pool.execute("update stream_slots set expires_at = now() - interval '1 second'")
    assert (await one.streams(ann, 9)).granted == 5
    assert (await one.streams(ann, 0)).granted == 0
    assert await pool.fetchval("select count(*) from stream_slots") == 0


async def test_a_changed_limit_and_a_lack_are_told_to_every_process(
    pool: Pool, vault: Vault, dsn: str
) -> None:
    ann = await Users(pool, vault).invite("ann@example.com")
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    listening = await asyncpg.connect(dsn)
    try:
        for channel in ("budget", "budget_recall"):
            await listening.add_listener(channel, lambda _c, _p, name, owner: heard.put_nowait((name, owner)))
        await limit(pool, ann, usd_per_month=Decimal(1))
        async with asyncio.timeout(5):
            assert await heard.get() == ("budget", str(ann))
            await LeasesInDatabase(pool).lease(uuid.uuid4(), ann, DAY, UNITS, UNITS)
            await LeasesInDatabase(pool).lease(uuid.uuid4(), ann, DAY, UNITS, UNITS)
            assert await heard.get() == ("budget_recall", str(ann))
    finally:
        await listening.close()


async def test_limits_go_with_their_user_and_make_sense(pool: Pool, vault: Vault) -> None:
    ann = await Users(pool, vault).invite("ann@example.com")
    await limit(pool, ann, streams=1)
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("insert into budget_limits (owner) values ($1)", uuid.uuid4())
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("update budget_limits set usd_per_day = -2")
    await Users(pool, vault).remove("ann@example.com")
    assert await LeasesInDatabase(pool).limits() == {}
