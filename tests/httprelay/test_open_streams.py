import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any

import pytest

from httprelay import OpenStream, OpenStreams, RelayError, Revoked


class Judge:
    """Says which credentials are good; fails as often as it is told to."""

    def __init__(self) -> None:
        self.good: set[Any] = set()
        self.asked: list[set[Any]] = []
        self.failures = 0

    async def still_good(self, credentials: Collection[Any]) -> list[Any]:
        self.asked.append(set(credentials))
        if self.failures:
            self.failures -= 1
            raise OSError("away")
        return [one for one in credentials if one in self.good]


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
async def streams(judge: Judge) -> AsyncIterator[OpenStreams]:
    made = OpenStreams(judge.still_good)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_credential_that_has_ended_cuts_what_it_let_in_and_nothing_else(
    streams: OpenStreams, judge: Judge
) -> None:
    told: list[RelayError] = []
    mine, other = streams.open("ann", "a1", streams.news), streams.open("ann", "a2", streams.news)
    mine.tie(told.append)
    streams.ended("a1")
    await settle()
    [error] = told
    assert isinstance(error, Revoked)
    assert mine.error is error
    assert other.error is None
    assert judge.asked == []


async def test_an_owner_who_has_changed_is_asked_about_and_nobody_else(
    streams: OpenStreams, judge: Judge
) -> None:
    good, bad = streams.open("ann", "a1", streams.news), streams.open("ann", "a2", streams.news)
    streams.open("bob", "b1", streams.news)
    judge.good = {"a1"}
    streams.suspect("carl")
    streams.suspect("ann")
    await settle()
    assert judge.asked == [{"a1", "a2"}]
    assert good.error is None
    assert isinstance(bad.error, Revoked)


async def test_after_a_gap_all_are_asked_about_until_that_can_be_told(
    streams: OpenStreams, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("httprelay.open_streams.RETRY_SECONDS", 0.01)
    many = [streams.open(number, number, streams.news) for number in range(450)]
    judge.good, judge.failures = set(range(440)), 2
    streams.suspect_all()
    async with asyncio.timeout(5):
        while many[-1].error is None:
            await asyncio.sleep(0.01)
    await settle()
    assert [stream.owner for stream in many if stream.error] == list(range(440, 450))
    assert set().union(*judge.asked) == set(range(450))


async def test_what_was_let_in_by_an_older_check_is_checked_again(streams: OpenStreams, judge: Judge) -> None:
    since = streams.news
    streams.suspect("ann")  # while her credential is looked up
    await settle()
    late = streams.open("ann", "a1", since)
    await settle()
    assert isinstance(late.error, Revoked)
    judge.asked.clear()
    streams.open("ann", "a1", streams.news)
    await settle()
    assert judge.asked == []


async def test_what_has_ended_is_forgotten(streams: OpenStreams) -> None:
    opened = [streams.open(owner, owner, streams.news) for owner in "aab"]
    assert len(streams) == 3
    for stream in opened:
        streams.close(stream)
        streams.close(stream)
    assert len(streams) == 0
    assert not streams._streams


def test_what_is_cut_already_cannot_be_tied() -> None:
    stream, told = OpenStream(), []
    stream.cut(Revoked("x"))
    with pytest.raises(Revoked):
        stream.tie(told.append)
    other = OpenStream()
    other.tie(told.append)
    other.untie()
    other.cut(Revoked("x"))
    other.cut(Revoked("y"))
    assert told == []
    assert str(other.error) == "x"
