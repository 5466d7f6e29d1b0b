from typing import Any, cast

import pytest

from httprelay import Sink, sink_of
from shmastra_cloud.gateway.answers import WithoutUsage
from shmastra_cloud.gateway.edited import edited
from shmastra_cloud.gateway.running import Running

USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n'
WORD = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'


class Taken(Sink):
    def __init__(self, *, full: bool = False) -> None:
        self.sent: list[bytes] = []
        self.full, self.waited = full, 0

    async def send(self, message: Any) -> None:
        self.sent.append(message.get("body", b"head"))

    def offer(self, data: bytes) -> bool:
        self.sent.append(data)
        return not self.full

    async def ready(self) -> None:
        self.waited += 1


class Money:
    """What a running call is to the editing: paid for or not, and whether more can be had."""

    def __init__(self, *, fits: bool, more: bool) -> None:
        self.fits, self._more, self.asked = fits, more, 0

    async def extend(self) -> bool:
        self.asked += 1
        return self._more


class OverError(Exception):
    pass


async def end(send: Any) -> None:
    await send({"type": "http.response.body", "body": b"end"})
    raise OverError


def made(sink: Taken, money: Money | None = None) -> Sink:
    running = cast("Running | None", money)
    found = sink_of(edited(sink.send, WithoutUsage(), running, end))
    assert found is not None
    return found


async def test_a_piece_is_edited_the_same_with_a_task_and_without() -> None:
    with_task, without = Taken(), Taken()
    sink, other = made(with_task), made(without)
    for piece in (WORD, WORD[:9], WORD[9:] + USAGE[:20], USAGE[20:], WORD):
        await sink.send({"type": "http.response.body", "body": piece, "more_body": True})
        assert other.offer(piece)
    assert with_task.sent == without.sent == [WORD, WORD, WORD]


async def test_a_full_sink_is_waited_for() -> None:
    taken = Taken(full=True)
    sink = made(taken)
    assert not sink.offer(WORD)
    await sink.ready()
    assert taken.waited == 1


async def test_what_is_not_paid_for_holds_the_next_piece_until_more_is_reserved() -> None:
    money = Money(fits=False, more=True)
    sink = made(Taken(), money)
    assert not sink.offer(WORD)
    await sink.ready()
    assert money.asked == 1
    money.fits = True
    assert sink.offer(WORD)


async def test_an_answer_that_nothing_more_can_be_reserved_for_is_ended() -> None:
    taken = Taken()
    sink = made(taken, Money(fits=False, more=False))
    assert not sink.offer(WORD)
    with pytest.raises(OverError):
        await sink.ready()
    assert taken.sent == [WORD, b"end"]


async def test_another_send_is_wrapped_without_becoming_a_sinks() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message.get("body"))

    wrapped = edited(send, WithoutUsage(), None, end)
    assert sink_of(wrapped) is None
    await wrapped({"type": "http.response.body", "body": WORD + USAGE, "more_body": True})
    assert sent == [WORD]
