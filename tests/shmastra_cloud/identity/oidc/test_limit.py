import time

import pytest

from shmastra_cloud.identity.oidc import limit as module
from shmastra_cloud.identity.oidc.limit import Limit


def test_who_fails_too_often_waits_and_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    limit = Limit(burst=3, seconds=60)
    for _ in range(3):
        assert limit.wait("1.2.3.4") == 0
        limit.failed("1.2.3.4")
    assert limit.wait("1.2.3.4") == 20
    assert limit.wait("1.2.3.5") == 0
    now += 21
    assert limit.wait("1.2.3.4") == 0


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADDRESSES", 10)
    limit = Limit()
    for number in range(50):
        limit.failed(str(number))
    assert len(limit._failed) == 10
