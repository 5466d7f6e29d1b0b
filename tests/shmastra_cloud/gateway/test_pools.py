import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from shmastra_cloud.gateway.pools import KeyPool, retry_after, says_invalid


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def taken(pool: KeyPool, count: int) -> str:
    return "".join(pool.take().key.decode() for _ in range(count))


def test_keys_take_turns_and_never_show() -> None:
    pool = KeyPool(("a", "b", "c"))
    assert taken(pool, 7) == "abcabca"
    assert repr(KeyPool(("sk-secret",))) == "KeyPool(1 keys)"


def test_a_limited_key_rests_for_as_long_as_the_provider_says_and_then_takes_its_turn_again() -> None:
    clock = Clock()
    pool = KeyPool(("a", "b", "c"), clock=clock)
    assert pool.refused(pool.take(), 429, [(b"retry-after", b"7")])
    assert taken(pool, 4) == "bcbc"
    assert pool.resting() == 1
    clock.now += 6.9
    assert taken(pool, 2) == "bc"
    clock.now += 0.2
    assert taken(pool, 3) == "abc"


def test_without_retry_after_a_rest_grows_up_to_a_bound_until_the_key_works_again() -> None:
    clock = Clock()
    pool = KeyPool(("a", "b"), clock=clock)
    first = pool.take()
    rests = []
    for _ in range(6):
        pool.refused(first, 429)
        began = clock.now
        while pool.resting():
            clock.now += 1
        rests.append(clock.now - began)
    assert rests == sorted(rests)
    assert 30 <= rests[0] <= 34
    assert 60 <= rests[1] <= 67
    assert rests[-1] == 300
    pool.works(first)
    pool.refused(first, 429)
    clock.now += 34
    assert pool.resting() == 0


def test_a_hostile_retry_after_is_bounded() -> None:
    clock = Clock()
    pool = KeyPool(("a", "b"), clock=clock)
    pool.refused(pool.take(), 429, [(b"retry-after", b"999999")])
    clock.now += 301
    assert pool.resting() == 0


def test_many_refusals_at_once_count_as_one() -> None:
    clock = Clock()
    pool = KeyPool(("a", "b"), clock=clock)
    first = pool.take()
    for _ in range(50):  # requests that were under way when the limit was reached
        pool.refused(first, 429)
    clock.now += 34
    assert pool.resting() == 0


def test_a_success_of_a_request_sent_before_does_not_end_a_rest() -> None:
    pool = KeyPool(("a", "b"), clock=Clock())
    first = pool.take()
    pool.refused(first, 429)
    pool.works(first)
    assert taken(pool, 3) == "bbb"


def test_when_all_rest_the_one_that_is_back_soonest_is_used() -> None:
    pool = KeyPool(("a", "b", "c"), clock=Clock())
    waits = [b"50", b"20", b"90"]
    others = [pool.refused(pool.take(), 429, [(b"retry-after", seconds)]) for seconds in waits]
    assert others == [True, True, False]
    assert taken(pool, 3) == "bbb"


def test_a_single_key_is_always_used() -> None:
    pool = KeyPool(("a",), clock=Clock())
    assert not pool.refused(pool.take(), 401)
    assert taken(pool, 2) == "aa"


def test_an_invalid_key_is_told_of_once_by_its_place(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    pool = KeyPool(("sk-a", "sk-b", "sk-c"), name="openai", clock=clock)
    pool.take()
    second = pool.take()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            pool.refused(second, 401)
            clock.now += 301
    assert [record.getMessage() for record in caplog.records] == [
        "openai: key 2 of 3 is not valid any more (401)"
    ]


def test_a_key_that_was_limited_and_is_then_invalid_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    pool = KeyPool(("sk-a", "sk-b"), name="openai", clock=Clock())
    first = pool.take()
    with caplog.at_level(logging.WARNING):
        for status in (429, 429, 401, 401):
            pool.refused(first, status)
    assert [record.getMessage() for record in caplog.records] == [
        "openai: key 1 of 2 is not valid any more (401)"
    ]


def test_a_key_may_be_refused_for_years() -> None:
    clock = Clock()
    pool = KeyPool(("a", "b"), clock=clock)
    first = pool.take()
    for _ in range(3000):
        pool.refused(first, 429)
        clock.now += 301
    assert pool.resting() == 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        ([(b"retry-after", b"20")], 20),
        ([(b"retry-after", b"0")], 1),
        ([(b"retry-after-ms", b"1500"), (b"retry-after", b"20")], 1.5),
        ([(b"retry-after", b"soon")], None),
        ([(b"retry-after", b"\xff")], None),
        ([(b"retry-after-ms", b"nan")], 1),
        ([(b"retry-after", b"Wed, 21 Oct 2015 07:28:00 GMT")], 1),
    ],
)
def test_retry_after_is_read(headers: list[tuple[bytes, bytes]], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    found = retry_after([(b"retry-after", date.encode())])
    assert found is not None
    assert 55 < found <= 60


@pytest.mark.parametrize(
    ("body", "invalid"),
    [
        (b'{"error":{"code":"invalid_api_key"}}', True),
        (b'{"type":"error","error":{"type":"authentication_error"}}', True),
        (b'{"error":{"code":400,"details":[{"reason":"API_KEY_INVALID"}]}}', True),
        (b'{"error":{"code":400,"message":"invalid_api_key is no field"}}', False),
        (b'{"error":{"code":403,"status":"PERMISSION_DENIED"}}', False),
        (b'{"error":{"code":["invalid_api_key"]}}', False),
        (b'{"error":"no"}', False),
        (b"[" * 100_000, False),
        (b"<html>", False),
    ],
)
def test_an_errors_body_tells_whether_the_key_is_at_fault(body: bytes, *, invalid: bool) -> None:
    assert says_invalid(body) is invalid
