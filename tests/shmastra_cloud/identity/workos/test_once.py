import asyncio

from shmastra_cloud.database import Pool
from shmastra_cloud.identity.workos.once import (
    CODES_BY_ADDRESS,
    CODES_BY_EMAIL,
    GUESSES,
    GUESSES_BY_EMAIL,
    begin_code,
    guess,
    sweep,
    use,
    was_used,
)


async def test_of_racing_uses_one_wins(pool: Pool) -> None:
    assert not await was_used(pool, "state:a")
    assert sum(await asyncio.gather(*(use(pool, "state:a") for _ in range(6)))) == 1
    assert await was_used(pool, "state:a")
    assert await use(pool, "state:b")


async def test_an_address_asks_for_so_many_codes(pool: Pool) -> None:
    made = [await begin_code(pool, f"{at}@example.com", "10.0.0.1") for at in range(CODES_BY_ADDRESS + 1)]
    assert all(made[:-1])
    assert made[-1] is None
    assert await begin_code(pool, "0@example.com", "10.0.0.2")


async def test_an_email_is_guessed_at_so_often_over_all_attempts(pool: Pool) -> None:
    left = []
    for at in range(CODES_BY_EMAIL):
        attempt = await begin_code(pool, "ann@example.com", f"10.0.0.{at}")
        assert attempt is not None
        left += [await guess(pool, attempt) for _ in range(GUESSES + 1)]
    assert sum(one is not None for one in left) == GUESSES_BY_EMAIL
    assert left[: GUESSES + 1] == [4, 3, 2, 1, 0, None]
    other = await begin_code(pool, "bob@example.com", "10.0.0.1")
    assert other is not None
    assert await guess(pool, other) == GUESSES - 1


async def test_an_attempt_ends_after_ten_minutes_and_an_unknown_one_has_no_guess(pool: Pool) -> None:
    attempt = await begin_code(pool, "ann@example.com", None)
    assert attempt is not None
    await pool.execute("update workos_codes set made_at = now() - interval '11 minutes'")
    assert await guess(pool, attempt) is None
    assert await guess(pool, "unknown") is None


async def test_no_email_or_address_is_kept_in_the_clear(pool: Pool) -> None:
    await begin_code(pool, "ann@example.com", "10.0.0.1")
    row = await pool.fetchrow("select email, address from workos_codes")
    assert row is not None
    assert b"ann" not in row["email"]
    assert b"10.0" not in row["address"]
    await pool.execute("update workos_codes set made_at = now() - interval '2 hours'")
    await sweep(pool)
    assert await pool.fetchval("select count(*) from workos_codes") == 0
