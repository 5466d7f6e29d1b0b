import asyncio

import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Attempts, TooManyAttempts
from shmastra_cloud.identity.attempts import network

# A minute that ends while a test counts begins anew: each counts twice at most.


async def refused_after(attempts: Attempts, address: str, most: int) -> int:
    """Fail to sign in until that is refused; return how often it failed."""
    for number in range(most):
        try:
            await attempts.check(address)
        except TooManyAttempts:
            return number
        await attempts.failed(address)
    return most


async def test_a_refusal_says_how_long_it_holds(pool: Pool) -> None:
    attempts = Attempts(pool, per_address=1)
    await refused_after(attempts, "192.0.2.1", 5)
    with pytest.raises(TooManyAttempts) as refused:
        await attempts.check("192.0.2.1")
    assert 1 <= refused.value.seconds <= 60


async def test_an_address_is_refused_beyond_its_bound_and_no_other_is(pool: Pool) -> None:
    attempts = Attempts(pool, per_address=3)
    assert 3 <= await refused_after(attempts, "192.0.2.1", 10) <= 6
    await attempts.check("192.0.2.2")


async def test_who_succeeds_is_not_counted(pool: Pool) -> None:
    attempts = Attempts(pool, per_address=1, in_all=1)
    for _ in range(5):
        await attempts.check("192.0.2.1")


async def test_processes_count_together(pool: Pool) -> None:
    one, two = Attempts(pool, per_address=4), Attempts(pool, per_address=4)
    told = [await refused_after(attempts, "192.0.2.1", 3) for attempts in (one, two, one, two)]
    assert sum(told) <= 8


async def test_all_together_have_a_bound_and_who_is_beyond_his_own_does_not_use_it_up(pool: Pool) -> None:
    attempts = Attempts(pool, per_address=2, in_all=6)
    await refused_after(attempts, "192.0.2.1", 6)
    passed = [await refused_after(attempts, f"192.0.2.{number}", 1) for number in range(2, 30)]
    assert 4 <= sum(passed) <= 12
    rows = await pool.fetchval("select count(*) from sign_in_attempts where address <> '*'")
    assert rows <= sum(passed) + 3, "addresses that were refused have left rows"


async def test_who_is_refused_costs_no_query(pool: Pool) -> None:
    attempts = Attempts(pool, per_address=1)
    await refused_after(attempts, "192.0.2.1", 5)
    await pool.execute("drop table sign_in_attempts")
    with pytest.raises(TooManyAttempts):
        await attempts.check("192.0.2.1")


async def test_what_was_counted_is_forgotten_and_what_is_counted_now_is_not(pool: Pool) -> None:
    attempts = Attempts(pool)
    await asyncio.gather(*(attempts.failed(f"192.0.2.{number}") for number in range(20)))
    await attempts.sweep()
    assert await pool.fetchval("select count(distinct address) from sign_in_attempts") == 21
    await pool.execute("update sign_in_attempts set minute = minute - interval '11 minutes'")
    await attempts.sweep()
    assert await pool.fetchval("select count(*) from sign_in_attempts") == 0


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unix", "unix"),
    ],
)
def test_a_whole_network_of_the_sixth_version_counts_as_one(address: str, wanted: str) -> None:
    assert network(address) == wanted
