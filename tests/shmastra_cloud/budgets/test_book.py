import datetime as dt
import uuid
from decimal import Decimal

import pytest

from shmastra_cloud.budgets import Budgets, Change, UnknownOwner
from shmastra_cloud.database import Pool
from shmastra_cloud.gateway import EVERYONE, ORGANIZATION, UNITS
from shmastra_cloud.identity import Users
from shmastra_cloud.leases import LeasesInDatabase
from shmastra_cloud.secrets_at_rest import Vault

EMAIL = "ann@example.com"


async def test_limits_are_set_one_by_one_and_told_with_what_is_used(pool: Pool, vault: Vault) -> None:
    ann = await Users(pool, vault).invite(EMAIL)
    book, leases = Budgets(pool), LeasesInDatabase(pool)
    await book.change(" Ann@Example.com ", Change(usd_per_month=Decimal(10), requests_per_minute=160))
    await book.change(EMAIL, Change(streams=4))
    await book.change("default", Change(tokens_per_minute=9, streams=1))
    today = dt.datetime.now(dt.UTC).date()
    mine, lost = uuid.uuid4(), uuid.uuid4()
    await leases.lease(mine, ann, today, UNITS, UNITS)
    await leases.lease(lost, ann, today, UNITS // 2, UNITS // 2)
    await pool.execute("update budget_slices set expires_at = now() where id = $1", lost)
    await pool.execute("update budget_accounts set spent_usd = 2 where owner = $1", ann)
    await leases.rate(ann, "requests", 1, 0)
    await leases.streams(ann, 3)
    shown = await book.show(EMAIL)
    assert shown["who"] == EMAIL
    assert shown["limits"] == {
        "usd_per_day": "default",
        "usd_per_month": 10.0,
        "requests_per_minute": 160,
        "tokens_per_minute": "default",
        "streams": 4,
    }
    month = shown["budget"]["usd_per_month"]
    assert (month["limit"], month["spent"], month["reserved"], month["remaining"]) == (10, 2.5, 1, 6.5)
    assert dt.datetime.fromisoformat(month["resets_at"]).day == 1
    assert shown["budget"]["requests_per_minute"]["used"] in {10, 0}  # a minute may have begun since
    assert shown["budget"]["tokens_per_minute"]["limit"] == 9
    assert shown["budget"]["streams"] == {"limit": 4, "used": 3, "remaining": 1}
    assert "usd_per_day" not in shown["budget"]


async def test_all_are_told_and_what_applies_to_one(pool: Pool, vault: Vault) -> None:
    ann = await Users(pool, vault).invite(EMAIL)
    book = Budgets(pool)
    await book.change("organization", Change(usd_per_day=Decimal(100)))
    await book.change("default", Change(usd_per_day=Decimal(5)))
    assert [one["who"] for one in await book.all()] == ["organization", "default", EMAIL]
    assert (await book.show("default"))["budget"] == {}
    applying = await book.applying(ann)
    assert applying["usd_per_day"]["remaining"] == 5
    assert applying["organization"]["usd_per_day"]["limit"] == 100
    await book.change(EMAIL, Change(usd_per_day="none"))
    assert set(await book.applying(ann)) == {"organization"}
    await book.change(EMAIL, Change(usd_per_day="default"))
    assert (await book.applying(ann))["usd_per_day"]["limit"] == 5


async def test_nobody_has_no_limits(pool: Pool) -> None:
    with pytest.raises(UnknownOwner, match="nobody@example.com"):
        await Budgets(pool).change("nobody@example.com", Change(streams=1))
    assert await Budgets(pool).owner("organization") == ORGANIZATION
    assert await Budgets(pool).owner("DEFAULT") == EVERYONE
