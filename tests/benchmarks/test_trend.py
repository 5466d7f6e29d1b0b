from __future__ import annotations

import pytest
from benchmarks.trend import trend


def test_noise_without_a_rise_is_flat() -> None:
    found = trend([(at, 70 + at % 3) for at in range(300)], part=0.03, least=1)
    assert found.flat
    assert found.mean == pytest.approx(71)


def test_a_slow_leak_is_not_flat() -> None:
    found = trend([(at * 2.0, 70 + at * 0.01 + at % 3) for at in range(600)], part=0.03, least=1)
    assert not found.flat
    assert found.rise == pytest.approx(6, abs=0.1)
    assert found.an_hour == pytest.approx(18, abs=0.2)


def test_what_falls_is_flat_and_a_little_is_tolerated() -> None:
    assert trend([(at, 70 - at) for at in range(20)], part=0, least=0).flat
    rising = [(at, 70 + at * 0.05) for at in range(20)]
    assert trend(rising, part=0.03, least=0).flat
    assert trend(rising, part=0, least=1).flat
    assert not trend(rising, part=0.01, least=0.5).flat


def test_too_few_samples_say_nothing() -> None:
    with pytest.raises(ValueError, match="too few"):
        trend([(at, 1.0) for at in range(9)], part=0, least=0)
