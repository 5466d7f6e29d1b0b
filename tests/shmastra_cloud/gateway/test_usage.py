import asyncio
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from shmastra_cloud.gateway import BatchWriter, UsageRow


def row() -> UsageRow:
    some = (uuid.uuid4(), "openai", "m", "agent", 1, 0, 0, 1, 200, 1, 1)
    return UsageRow(*some, "complete", False, datetime.now(UTC), uuid.uuid4())


async def test_rows_are_written_in_batches_and_a_failed_one_again() -> None:
    written: list[UsageRow] = []
    failures = [OSError("away"), OSError("away")]

    async def write(rows: Sequence[UsageRow]) -> None:
        if failures:
            raise failures.pop()
        written.extend(rows)

    writer = BatchWriter(write, flush_seconds=0.01)
    task = asyncio.create_task(writer.run())
    rows = [row() for _ in range(5)]
    for each in rows:
        writer.record(each)
    async with asyncio.timeout(10):
        while len(written) < 5:
            await asyncio.sleep(0.01)
    last = row()
    writer.record(last)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await writer.aclose()
    assert written == [*rows, last]


async def test_the_bound_holds_and_the_loss_is_counted() -> None:
    async def write(_rows: Sequence[UsageRow]) -> None:
        raise OSError

    writer = BatchWriter(write, bound=10)
    for _ in range(15):
        writer.record(row())
    await writer.aclose()
    assert (writer.queued, writer.lost) == (10, 5)
