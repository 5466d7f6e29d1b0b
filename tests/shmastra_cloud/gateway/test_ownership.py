import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from shmastra_cloud.gateway.errors import NotOwned, OwnershipUnknown
from shmastra_cloud.gateway.ownership import OwnedId, Ownership

ANN, BOB = uuid.uuid4(), uuid.uuid4()


class Kept:
    """Keeps ids as a database would; can be away, slow, or told something meanwhile by another process."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], OwnedId] = {}
        self.asked, self.written, self.pruned = 0, 0, 0
        self.away = False
        self.slow: asyncio.Event | None = None

    async def write(self, rows: Sequence[OwnedId]) -> None:
        if self.slow is not None:
            await self.slow.wait()
        if self.away:
            raise OSError("away")
        self.written += 1
        for row in rows:
            self.rows.setdefault((row.provider, row.id), row)

    async def owner(self, provider: str, name: str) -> uuid.UUID | None:
        self.asked += 1
        if self.away:
            raise OSError("away")
        row = self.rows.get((provider, name))
        return None if row is None else row.user_id

    async def prune(self) -> None:
        self.pruned += 1


@asynccontextmanager
async def running(kept: Kept, **options: float) -> AsyncIterator[Ownership]:
    ownership = Ownership(kept, **options)  # type: ignore[arg-type]
    task = asyncio.create_task(ownership.run())
    try:
        yield ownership
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_id_is_written_before_it_is_passed_on_and_known_at_once() -> None:
    kept = Kept()
    async with running(kept) as ownership:
        await ownership.claim("openai", ["resp_1", "conv_1"], ANN)
        assert set(kept.rows) == {("openai", "resp_1"), ("openai", "conv_1")}
        now = datetime.now(UTC)
        assert timedelta(days=30) < kept.rows["openai", "resp_1"].expires_at - now < timedelta(days=32)
        assert kept.rows["openai", "conv_1"].expires_at - now > timedelta(days=365)
        await ownership.hold("openai", "field", "resp_1", ANN)
        for provider, user in (("openai", BOB), ("azure", ANN)):
            with pytest.raises(NotOwned, match="field names"):
                await ownership.hold(provider, "field", "resp_1", user)
        asked = kept.asked
        await ownership.hold("openai", "field", "resp_1", ANN)
        assert kept.asked == asked


async def test_the_refusal_does_not_tell_whether_the_id_exists() -> None:
    async with running(Kept(), again_seconds=0.01) as ownership:
        await ownership.claim("openai", ["resp_1"], BOB)
        said = []
        for name in ("resp_1", "resp_2", "x" * 5000, "\ud800"):
            with pytest.raises(NotOwned) as refused:
                await ownership.hold("openai", "previous_response_id", name, ANN)
            said.append(str(refused.value))
        assert len(set(said)) == 1


async def test_another_process_that_is_about_to_write_is_waited_for() -> None:
    kept = Kept()
    ownership = Ownership(kept, again_seconds=0.2)
    holding = asyncio.create_task(ownership.hold("openai", "f", "resp_1", ANN))
    await asyncio.sleep(0.05)
    await kept.write([OwnedId("openai", "resp_1", ANN, datetime.now(UTC))])
    await holding
    assert kept.asked == 2
    with pytest.raises(NotOwned):
        await ownership.hold("openai", "f", "resp_1", BOB)  # remembered with its owner
    assert kept.asked == 2


async def test_what_the_database_does_not_take_is_passed_on_in_time_and_written_later() -> None:
    kept = Kept()
    kept.away = True
    async with running(kept, write_seconds=0.05) as ownership:
        await ownership.claim("openai", ["resp_1"], ANN)
        await ownership.hold("openai", "f", "resp_1", ANN)
        with pytest.raises(OwnershipUnknown):
            await ownership.hold("openai", "f", "resp_2", ANN)
        kept.away = False
        async with asyncio.timeout(5):
            while ("openai", "resp_1") not in kept.rows:
                await asyncio.sleep(0.01)


async def test_claims_at_one_time_are_written_together() -> None:
    kept = Kept()
    kept.slow = asyncio.Event()
    async with running(kept) as ownership:
        claims = [asyncio.create_task(ownership.claim("openai", [f"resp_{n}"], ANN)) for n in range(50)]
        await asyncio.sleep(0.05)
        kept.slow.set()
        await asyncio.gather(*claims)
        assert len(kept.rows) == 50
        assert kept.written <= 2


async def test_what_is_left_at_the_end_is_written_and_what_cannot_be_stored_is_left_out() -> None:
    kept = Kept()
    ownership = Ownership(kept, write_seconds=0.01)
    await ownership.claim("openai", ["resp_1", "a b", "x" * 400, "\ud800"], ANN)
    await ownership.aclose()
    assert set(kept.rows) == {("openai", "resp_1")}


async def test_what_waits_and_what_is_remembered_is_bounded() -> None:
    ownership = Ownership(Kept(), bound=3, pending_bound=2, write_seconds=0.01)
    for number in range(9):
        await ownership.claim("openai", [f"resp_{number}"], ANN)
    assert (len(ownership._known), len(ownership._pending), ownership.lost) == (3, 2, 7)


async def test_one_users_guesses_do_not_keep_others_waiting() -> None:
    kept = Kept()
    ownership = Ownership(kept, again_seconds=0.1, looks_at_once=2)
    await kept.write([OwnedId("openai", "resp_9", BOB, datetime.now(UTC))])
    guesses = [asyncio.create_task(ownership.hold("openai", "f", f"resp_{n}", ANN)) for n in range(5)]
    await asyncio.sleep(0.01)
    await ownership.hold("openai", "f", "resp_9", BOB)
    ended = await asyncio.gather(*guesses, return_exceptions=True)
    assert [type(one) for one in ended] == [NotOwned] * 2 + [OwnershipUnknown] * 3
    assert not ownership._looking
