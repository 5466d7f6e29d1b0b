import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from shmastra_cloud.api_tokens import (
    LoginDenied,
    LoginExpired,
    LoginPending,
    Logins,
    LoginSlow,
    Tokens,
    TooManyLogins,
    logins,
)
from shmastra_cloud.audit import Actor
from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "INTERVAL_SECONDS", 0)


async def refused(work: Awaitable[Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await work


async def test_a_code_that_an_admin_allows_becomes_a_token_once(pool: Pool, vault: Vault) -> None:
    found, ann = Logins(pool), await Users(pool, vault).invite("ann@example.com", admin=True)
    admin = Actor.of_user(ann, "ann@example.com", "10.0.0.1")
    login = await found.begin("laptop", "10.0.0.2", 30)
    await refused(found.poll(login.device_code, ""), LoginPending)
    typed = f" {login.user_code.lower().replace('-', ' ')} "
    waiting = await found.waiting(typed)
    assert (waiting.name, waiting.address, waiting.days) == ("laptop", "10.0.0.2", 30)
    await found.decide(typed, admin, ann, allow=True)
    await refused(found.decide(typed, admin, ann, allow=False), LoginExpired)
    polls = await asyncio.gather(
        *(found.poll(login.device_code, "10.0.0.2") for _ in range(4)), return_exceptions=True
    )
    [(made, email)] = [one for one in polls if not isinstance(one, BaseException)]
    assert [type(one) for one in polls if isinstance(one, BaseException)] == [LoginExpired] * 3
    assert (made.name, email) == ("laptop", "ann@example.com")
    assert await Tokens(pool).find(made.token, "")
    rows = await pool.fetch("select action, actor, origin, target from audit_log order by id")
    assert [tuple(row) for row in rows] == [
        ("token.allow", "ann@example.com", "10.0.0.1", "laptop"),
        ("token.make", "ann@example.com", "10.0.0.2", "laptop"),
    ]


async def test_what_is_refused_late_unknown_or_of_no_admin_any_more_becomes_none(
    pool: Pool, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, users = Logins(pool), Users(pool, vault)
    ann = await users.invite("ann@example.com", admin=True)
    await users.invite("bob@example.com", admin=True)
    admin = Actor.of_user(ann, "ann@example.com", "10.0.0.1")
    denied = await found.begin("a", "1", 1)
    await found.decide(denied.user_code, admin, ann, allow=False)
    for _ in range(2):
        await refused(found.poll(denied.device_code, ""), LoginDenied)
    for unknown in ("", "x" * 200, denied.user_code):
        await refused(found.poll(unknown, ""), LoginExpired)
        await refused(found.waiting(unknown), LoginExpired)
    late = await found.begin("b", "1", 1)
    await pool.execute("update device_logins set expires_at = now() where name = 'b'")
    await refused(found.poll(late.device_code, ""), LoginExpired)
    await refused(found.waiting(late.user_code), LoginExpired)
    lost = await found.begin("c", "1", 1)
    await found.decide(lost.user_code, admin, ann, allow=True)
    await users.set_role(ann, "member")
    await refused(found.poll(lost.device_code, ""), LoginExpired)
    monkeypatch.setattr(logins, "INTERVAL_SECONDS", 60)
    hasty = await found.begin("d", "1", 1)
    await refused(found.poll(hasty.device_code, ""), LoginPending)
    await refused(found.poll(hasty.device_code, ""), LoginSlow)
    assert await pool.fetchval("select count(*) from api_tokens") == 0
    kept = await pool.fetchval("select string_agg(l::text, '') from device_logins l")
    for secret in (late.device_code, hasty.device_code, hasty.user_code, hasty.user_code.replace("-", "")):
        assert secret not in kept


async def test_log_ins_that_nobody_confirms_are_not_many(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "WAITING", 4)
    monkeypatch.setattr(logins, "WAITING_PER_ADDRESS", 2)
    found = Logins(pool)
    for address in "1122":
        await found.begin("a", address, 1)
    await refused(found.begin("a", "3", 1), TooManyLogins)
    monkeypatch.setattr(logins, "WAITING", 100)
    await refused(found.begin("a", "1", 1), TooManyLogins)
    await found.begin("a", "3", 1)
    await pool.execute("update device_logins set expires_at = now() - interval '2 hours'")
    await found.begin("a", "1", 1)
    assert await pool.fetchval("select count(*) from device_logins") == 1
